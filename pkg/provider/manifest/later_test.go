package manifest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

const keeping = bearer + `create: {send: POST /u, keep: '{id}', part_size: 5}
presign: {send: "GET /sign/{part.number}", max: 1, keep: '{key: .k}', urls: .url}
part: {send: PUT, auth: true, keep: '{lease: .l}', receipt: .r, confirm: {send: "POST /confirm/{key}/{lease}", keep: '{seal: .s}', receipt: .c}}
complete: {send: "POST /end/{key}/{lease}/{seal}", keep: '{poll: .p}', ok: .ok, result: .id}
ready: {send: "GET /ready/{seal}/{poll}", keep: '{cursor: .n}', query: '{at: $upload.cursor}', done: .done}
`

// TestKeptAfterCreate holds that what any request keeps is there for later ones, also
// in another process, and for the same request of another part with another value.
func TestKeptAfterCreate(t *testing.T) {
	replies := map[string]string{
		"POST /v1/u": `{"id":"u1"}`, "GET /v1/sign/1": `{"k":"k","url":"put/1"}`, "GET /v1/sign/2": `{"k":"k","url":"put/2"}`,
		"PUT /v1/put/1": `{"l":"l1","r":"r1"}`, "PUT /v1/put/2": `{"l":"l2","r":"r2"}`,
		"POST /v1/confirm/k/l1": `{"s":"s1","c":"c1"}`, "POST /v1/confirm/k/l2": `{"s":"s2","c":"c2"}`,
		"POST /v1/end/k/l2/s2": `{"ok":true,"p":"p","id":"f"}`, "GET /v1/ready/s2/p": `{"n":7}`, "GET /v1/ready/s2/p?at=7": `{"n":8,"done":true}`,
	}
	p, _ := speak(t, keeping, replies)
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if err != nil {
		t.Fatal(err)
	}
	var rs []upload.Receipt
	for _, part := range u.Parts {
		urls, err := p.Presign(t.Context(), u, []upload.Part{part})
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Put(t.Context(), u, urls[0], part, strings.NewReader("01234"))
		if err != nil {
			t.Fatal(err)
		}
		confirming, _ := speak(t, keeping, replies) // each in a process of its own
		if r, err = confirming.(upload.Confirmer).Confirm(t.Context(), u, part, r); err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	completing, _ := speak(t, keeping, replies)
	a, err := completing.(upload.Stepper).CompleteStep(t.Context(), u, rs, upload.Digests{})
	if err != nil || a.Result.Value != "f" {
		t.Fatalf("completed as %+v, %v", a, err)
	}
	completed := u
	completed.Data = a.Data
	waiting, _ := speak(t, keeping, replies)
	for _, want := range []bool{false, true} {
		done, _, err := waiting.(upload.Readier).Ready(t.Context(), completed, a.Result)
		if done != want || err != nil && !errors.Is(err, upload.ErrNotReady) {
			t.Errorf("ready: %t, %v", done, err)
		}
	}
	// Another request that keeps the name with another value is an error.
	p, _ = speak(t, strings.Replace(keeping, "{lease: .l}", "{lease: .l, key: .l}", 1), replies)
	urls, err := p.Presign(t.Context(), u, u.Parts[:1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err = p.Put(t.Context(), u, urls[0], u.Parts[0], strings.NewReader("01234")); err == nil || !strings.Contains(err.Error(), "key was kept before, with another value") {
		t.Errorf("%v", err)
	}
}

// TestRepliesHideWhatIsKept holds that the reply which is shown and stored with the
// result has nothing in it that the request kept, and that the journal keeps it.
func TestRepliesHideWhatIsKept(t *testing.T) {
	for reply, want := range map[string]string{
		`{"ok":true,"id":"file-1234","t":"t0ken-4567","deep":{"at":["t0ken-4567/x"]}}`: `{"deep":{"at":["…"]},"id":"file-1234","ok":true,"t":"…"}`,
		`{"ok":true,"id":"t0ken-4567","t":"t0ken-4567"}`:                               `{"ok":true,"id":"t0ken-4567","t":"t0ken-4567"}`, // it is the result
	} {
		p, _ := speak(t, bearer+`create: {send: POST /u, keep: '{id}', part_size: 10}
part: {send: PUT /p, receipt: .r}
complete: {send: POST /end, keep: '{token: .t, all: (.deep // 1)}', ok: .ok, result: .id}
ready: {send: "GET /r/{token}", done: .done}
`, map[string]string{"POST /v1/u": `{"id":"upload-1"}`, "POST /v1/end": reply})
		u, _, err := p.Create(t.Context(), ten, upload.Hint{})
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.(upload.Stepper).CompleteStep(t.Context(), u, nil, upload.Digests{})
		if err != nil || string(a.Result.Reply) != want {
			t.Errorf("the reply is %s, %v; want %s", a.Result.Reply, err, want)
		}
		var kept data
		if err := json.Unmarshal(a.Data, &kept); err != nil || kept.Upload["token"] != "t0ken-4567" || strings.Contains(string(a.Data), "…") {
			t.Errorf("kept %s, %v", a.Data, err)
		}
	}
}

// TestRedirectWithoutTheKey holds that a request to a path of the API counts as that
// also without the key, and that what is kept is not shown of the path that it leads to.
func TestRedirectWithoutTheKey(t *testing.T) {
	for _, c := range []struct {
		send   string
		signed bool
		to     string
	}{
		{`send: "POST /end/{token}", auth: false`, false, "/v2/…"},
		{`send: POST, url: '"end/\($upload.token)"', auth: false`, true, ""},
		{`send: POST, url: '"end/\($upload.token)"'`, false, "/v2/…"},
	} {
		p, _ := speak(t, bearer+`create: {send: POST /u, keep: '{id, token: .t}', part_size: 10}
part: {send: PUT /p, receipt: .r}
complete: {`+c.send+`, result: .id}
`, map[string]string{"POST /v1/u": `{"id":"u1","t":"t0ken-4567"}`, "POST /v1/end/t0ken-4567": `307 /v2/t0ken-4567`})
		u, _, err := p.Create(t.Context(), ten, upload.Hint{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Complete(t.Context(), u, nil, upload.Digests{})
		var to *transport.RedirectError
		if !errors.As(err, &to) || to.Signed != c.signed || !strings.HasSuffix(to.To, c.to) || strings.Contains(err.Error(), "t0ken") {
			t.Errorf("%s: %+v, %v", c.send, to, err)
		}
	}
}
