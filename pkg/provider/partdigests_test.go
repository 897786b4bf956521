package provider_test

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

// TestPartDigestsEverywhere holds that the digests of parts that presign and part
// ask for are known wherever there are parts: in create beforehand (W&B), in
// presign, in the part's request, in confirm (Synapse), in checkpoint and in
// complete, by another process too.
func TestPartDigestsEverywhere(t *testing.T) {
	const file = "0123456789"
	md5s, sha1s := [2]string{}, [2]string{}
	for i, part := range []string{file[:5], file[5:]} {
		m, s := md5.Sum([]byte(part)), sha1.Sum([]byte(part))
		md5s[i], sha1s[i] = hex.EncodeToString(m[:]), base64.StdEncoding.EncodeToString(s[:])
	}
	r := run(t, `limits: {part: {min: 5B, max: 5B}}
create: {send: POST /u, body: '{parts: [$parts[] | {number, md5}]}', keep: '{id}'}
presign: {send: POST /sign, digests: [md5], body: '[$parts[] | [.number, .md5, .sha1_base64]]', urls: '$parts[] | {number, url: "/s/\(.number)", headers: {"X-Sum": .md5}}'}
part:
  send: PUT
  digests: [sha1]
  headers: '{"X-Both": ($part.md5 + $part.sha1_base64)}'
  receipt: $header.etag
  confirm: {send: "POST /add/{part.number}", query: '{sha1: $part.sha1_base64}', receipt: .id}
checkpoint: {send: POST /check, body: '[$parts[] | [.receipt, .md5]]'}
complete: {send: POST /end, body: '[$parts[] | [.receipt, .sha1_base64]]', ok: .ok, result: .id}
`, file, func(w http.ResponseWriter, is, _ string) {
		switch {
		case is == "POST /u":
			fmt.Fprint(w, `{"id":"u1"}`)
		case strings.HasPrefix(is, "PUT "):
			w.Header().Set("ETag", "x")
		case strings.HasPrefix(is, "POST /add/"):
			fmt.Fprintf(w, `{"id":"c%s"}`, is[len("POST /add/"):][:1])
		default:
			_, _ = io.WriteString(w, `{"ok":true,"id":"f1"}`)
		}
	})
	r.PartSize, r.Concurrency = 5, 1
	ctx, stop := context.WithCancelCause(t.Context())
	r.Observe = func(e upload.Event) {
		if _, ok := e.(upload.Finishing); ok {
			stop(errors.New("stopped"))
		}
	}
	if _, err := r.upload(ctx); err == nil {
		t.Log("it came to its end before it was stopped")
	}
	r.Observe = nil
	rep, err := r.upload(t.Context())
	if err != nil || rep.Result.Value != "f1" {
		t.Fatalf("%q, %v", rep.Result.Value, err)
	}
	for is, body := range map[string]string{
		"POST /u":    fmt.Sprintf(`{"parts":[{"md5":"%s","number":1},{"md5":"%s","number":2}]}`, md5s[0], md5s[1]),
		"POST /sign": fmt.Sprintf(`[[1,"%s","%s"],[2,"%s","%s"]]`, md5s[0], sha1s[0], md5s[1], sha1s[1]),
		"POST /end":  fmt.Sprintf(`[["c1","%s"],["c2","%s"]]`, sha1s[0], sha1s[1]),
	} {
		if n := slices.Index(r.seen, is); n < 0 || r.body[n] != body {
			t.Errorf("%s is not sent with %s: %v %v", is, body, r.seen, r.body)
		}
	}
	for i := range 2 {
		n := slices.Index(r.seen, fmt.Sprintf("PUT /s/%d", i+1))
		if n < 0 || r.head[n].Get("X-Sum") != md5s[i] || r.head[n].Get("X-Both") != md5s[i]+sha1s[i] {
			t.Errorf("part %d is not sent with its digests: %v", i+1, r.seen)
		}
		if is := fmt.Sprintf("POST /add/%d?sha1=%s", i+1, url.QueryEscape(sha1s[i])); r.count(is) != 1 {
			t.Errorf("part %d is not confirmed with its digest: %v", i+1, r.seen)
		}
	}
}
