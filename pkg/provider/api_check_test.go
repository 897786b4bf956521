package provider_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// jsonOf is v as JSON has it.
func jsonOf(t *testing.T, v any) (out any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func checkUpload(t *testing.T, u upload.Upload, want map[string]any) {
	t.Helper()
	got := jsonOf(t, u).(map[string]any)
	for k, v := range want {
		g := got[k]
		if g == nil { // left out where it is zero
			list, isList := v.([]any)
			if v == false || isList && len(list) == 0 {
				continue
			}
		}
		if !reflect.DeepEqual(g, v) {
			t.Errorf("%s is %v, want %v", k, g, v)
		}
	}
}

func checkURLs(t *testing.T, gs []upload.Presigned, x exchange) {
	t.Helper()
	if x.Expect.URLs == nil {
		return
	}
	if len(gs) != len(x.Expect.URLs) {
		t.Fatalf("%d urls, want %d", len(gs), len(x.Expect.URLs))
	}
	for i, want := range x.Expect.URLs {
		got := jsonOf(t, gs[i]).(map[string]any)
		if in, ok := want["expires_in"].(float64); ok {
			left := time.Until(gs[i].Expires).Seconds()
			if left > in || left < in-10 {
				t.Errorf("presigned %d expires in %v seconds, want %v", i, left, in)
			}
			delete(got, "expires")
			delete(want, "expires_in")
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("presigned %v, want %v", got, want)
		}
	}
}

func checkResult(t *testing.T, r upload.Result, x exchange) {
	t.Helper()
	if r.Value != x.Expect.Value {
		t.Errorf("result %q, want %q", r.Value, x.Expect.Value)
	}
	if got := jsonOf(t, r.Reply); x.Expect.Reply != nil && !reflect.DeepEqual(got, x.Expect.Reply) {
		t.Errorf("reply %v, want %v", got, x.Expect.Reply)
	}
}

var sentinels = map[string]error{
	"expired": upload.ErrExpired, "gone": upload.ErrGone, "denied": upload.ErrDenied, "refused": upload.ErrRefused,
	"completed": upload.ErrCompleted, "checksum": upload.ErrChecksum, "reply": upload.ErrReply, "unverified": upload.ErrUnverified, "unsupported": errors.ErrUnsupported,
}

func checkError(t *testing.T, err error, x exchange) {
	t.Helper()
	want := x.Expect.Error
	if want == nil {
		if err != nil {
			t.Errorf("failed: %v", err)
		}
		return
	}
	if err == nil {
		t.Fatal("did not fail")
	}
	t.Log(err)
	is := ""
	if want.Is != nil {
		is = *want.Is
	}
	if is == "plan" {
		var plan *upload.PlanError
		if !errors.As(err, &plan) {
			t.Errorf("is no *upload.PlanError: %v", err)
		}
		is = "reply"
	}
	for name, sentinel := range sentinels {
		if errors.Is(err, sentinel) != (name == is) {
			t.Errorf("errors.Is(%s) is %v: %v", name, name != is, err)
		}
	}
	var e *transport.Error
	if errors.As(err, &e) != (want.Status != 0) {
		t.Fatalf("errors.As(*transport.Error) is not %v: %#v", want.Status != 0, err)
	}
	if e != nil {
		if e.Status != want.Status || want.Code != "" && e.Code != want.Code || want.Message != "" && e.Message != want.Message ||
			want.RequestID != "" && e.RequestID != want.RequestID {
			t.Errorf("got status %d, code %q, message %q, request id %q; want %+v", e.Status, e.Code, e.Message, e.RequestID, *want)
		}
		if want.Message != "" && strings.Count(err.Error(), want.Message) != 1 {
			t.Errorf("does not say it once: %v", err)
		}
	}
	var passing upload.Temporary
	retry := errors.As(err, &passing) && passing.Temporary()
	if want.Retry != nil && retry != *want.Retry {
		t.Errorf("retry is %v: %v", retry, err)
	}
	if want.After != 0 && passing.RetryAfter() != time.Duration(want.After*float64(time.Second)) {
		t.Errorf("retry after %s, want %v s", passing.RetryAfter(), want.After)
	}
	if !strings.Contains(err.Error(), want.Text) {
		t.Errorf("does not say %q: %v", want.Text, err)
	}
	if strings.Contains(err.Error(), testKey) {
		t.Errorf("shows the key: %v", err)
	}
	m, loadErr := provider.Load(filepath.Base(filepath.Dir(t.Name())))
	if loadErr == nil && !strings.HasPrefix(err.Error(), m.Title+": ") {
		t.Errorf("does not begin with %q: %v", m.Title, err)
	}
}
