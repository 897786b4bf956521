package manifest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

func TestProbe(t *testing.T) {
	m := mustParse(t, []byte(whole))
	for _, c := range []struct {
		status int
		body   string
		answer upload.Answer
		value  string
		means  error
		passes bool
	}{
		{200, `{"finished":true,"place":"/a"}`, upload.Completed, "/a", nil, false},
		{207, `{"finished":true,"place":7}`, upload.Completed, "7", nil, false},
		{404, `{"finished":true,"place":"/a"}`, upload.Completed, "/a", nil, false},
		{200, `{"finished":true}`, upload.Completed, "", upload.ErrCompleted, false},
		{200, `{"finished":true,"place":" a\t\r\u001b\u202f "}`, upload.Completed, " a\t\r\x1b\u202f ", nil, false},
		{200, `{"finished":true,"place":"a\nb"}`, upload.Completed, "", upload.ErrCompleted, false},
		{200, `{"finished":false,"place":"/a"}`, upload.NotCompleted, "", nil, false},
		{404, `{"finished":false}`, upload.NotCompleted, "", nil, false},
		{200, `{"finished":null,"place":"/a"}`, upload.Unknown, "", nil, false},
		{200, `{"finished":"true"}`, upload.Unknown, "", nil, false},
		{200, `{"finished":1}`, upload.Unknown, "", nil, false},
		{404, `{"code":"gone"}`, upload.Unknown, "", nil, false},
		{409, `{"code":"was_done","location":"/a"}`, upload.Unknown, "", nil, false},
		{200, `"text"`, upload.Unknown, "", nil, false},
		{200, `<html>`, upload.Unknown, "", nil, false},
		{404, `not here`, upload.Unknown, "", nil, false},
		{204, ``, upload.Unknown, "", nil, false},
		{401, `{"finished":true,"place":"/a"}`, upload.Unknown, "", upload.ErrDenied, false},
		{403, `{"finished":false}`, upload.Unknown, "", upload.ErrDenied, false},
		{408, `{"finished":false}`, upload.Unknown, "", nil, true},
		{429, `{"finished":false}`, upload.Unknown, "", nil, true},
		{500, `{"finished":true,"place":"/a"}`, upload.Unknown, "", nil, true},
		{503, `<html>`, upload.Unknown, "", nil, true},
		{501, `{"finished":true}`, upload.Unknown, "", upload.ErrRefused, false},
		{302, `{"finished":true}`, upload.Unknown, "", upload.ErrReply, false},
	} {
		p, _ := serve(t, m, kind, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Method != "POST" || r.URL.Path != "/v1/uploads/u1/state" || !bytes.Contains(body, []byte(`"since"`)) || r.Header.Get("X-Key") == "" {
				t.Errorf("asked %s %s %s", r.Method, r.URL, body)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		answer, r, err := p.(upload.Prober).Probe(t.Context(), created())
		var passing upload.Temporary
		passes := errors.As(err, &passing) && passing.Temporary()
		if answer != c.answer || r.Value != c.value || (err != nil) != (c.means != nil || c.passes) || c.means != nil && !errors.Is(err, c.means) || passes != c.passes {
			t.Errorf("%d %s: %v, %q, %v", c.status, c.body, answer, r.Value, err)
		}
		if c.value != "" && string(r.Reply) != c.body {
			t.Errorf("%d %s: the reply is %s", c.status, c.body, r.Reply)
		}
	}
}

// Without a result of its own, a probe's answer is read as complete's.
func TestProbeReadsAsComplete(t *testing.T) {
	p, _ := serve(t, mustParse(t, edit(t, "  result: .place\n", "")), kind, answerWith(200, `{"finished":true,"place":"/a","location":"/b"}`))
	if answer, r, err := p.(upload.Prober).Probe(t.Context(), created()); answer != upload.Completed || r.Value != "/b" || err != nil {
		t.Errorf("%v, %q, %v", answer, r.Value, err)
	}
}

// A provider is asked only what its API has.
func TestAbilities(t *testing.T) {
	without := func(text, section string) string {
		before, after, _ := strings.Cut(text, section+":\n")
		for line := range strings.Lines(after) {
			if !strings.HasPrefix(line, "  ") {
				break
			}
			after = strings.TrimPrefix(after, line)
		}
		return before + after
	}
	for _, c := range []struct {
		text               string
		checkpoints, probe bool
	}{
		{whole, true, true}, {without(whole, "checkpoint"), false, true}, {without(whole, "probe"), true, false},
		{without(without(whole, "probe"), "checkpoint"), false, false},
	} {
		p, _ := serve(t, mustParse(t, []byte(c.text)), kind, answerWith(200, "{}"))
		_, checkpoints := p.(upload.Checkpointer)
		_, probe := p.(upload.Prober)
		if checkpoints != c.checkpoints || probe != c.probe {
			t.Errorf("takes checkpoints: %t, can be asked: %t; want %t, %t", checkpoints, probe, c.checkpoints, c.probe)
		}
	}
}

// What complete is refused with may be a yes, and may say why it is a no.
func TestRefusalsOfComplete(t *testing.T) {
	m := mustParse(t, []byte(whole))
	for _, c := range []struct {
		status int
		body   string
		value  string
		means  error
		passes bool
	}{
		{409, `{"code":"was_done","location":"/a"}`, "/a", nil, false},
		{403, `{"code":"was_done","location":"/a"}`, "/a", nil, false},
		{200, `{"code":"was_done","location":"/a"}`, "/a", nil, false},
		{409, `{"code":"was_done"}`, "", upload.ErrCompleted, false},
		{409, `{"code":"done"}`, "", upload.ErrRefused, false},
		{503, `{"code":"was_done","location":"/a"}`, "", nil, true},
		{429, `{"code":"was_done","location":"/a"}`, "", nil, true},
		{302, `{"code":"was_done","location":"/a"}`, "", upload.ErrReply, false},
		{400, `{"code":"digest","problem":"not the file"}`, "", upload.ErrChecksum, false},
		{200, `{"code":"digest"}`, "", upload.ErrChecksum, false},
		{200, `{"code":"digest","state":"done","location":"/a"}`, "/a", nil, false},
		{401, `{"code":"digest"}`, "", upload.ErrDenied, false},
		{500, `{"code":"digest"}`, "", nil, true},
		{400, `{"code":"digests"}`, "", upload.ErrRefused, false},
		{400, `code: digest`, "", upload.ErrRefused, false},
	} {
		p, _ := serve(t, m, kind, answerWith(c.status, c.body))
		r, err := p.Complete(t.Context(), created(), nil, upload.Digests{})
		var passing upload.Temporary
		passes := errors.As(err, &passing) && passing.Temporary()
		if r.Value != c.value || (err == nil) != (c.value != "") || c.means != nil && !errors.Is(err, c.means) || passes != c.passes {
			t.Errorf("%d %s: %q, %v", c.status, c.body, r.Value, err)
		}
		if errors.Is(err, upload.ErrRefused) != (c.means == upload.ErrRefused) {
			t.Errorf("%d %s: a refusal too: %v", c.status, c.body, err)
		}
	}
}

// Where any 2xx is a yes, one without a result is none: it may be an error.
func TestSuccessNeedsAResult(t *testing.T) {
	p, _ := serve(t, mustParse(t, edit(t, "  ok: .state == \"done\"\n", "")), kind, answerWith(200, `{"problem":"internal error"}`))
	if _, err := p.Complete(t.Context(), created(), nil, upload.Digests{}); !errors.Is(err, upload.ErrReply) || errors.Is(err, upload.ErrCompleted) {
		t.Errorf("%v", err)
	}
}

// An upload that was completed cannot be aborted.
func TestAbortOfACompletedUpload(t *testing.T) {
	for body, want := range map[string]error{
		`{"code":"was_done"}`: upload.ErrCompleted, `{"code":"busy"}`: upload.ErrRefused, `{"code":"gone"}`: nil,
	} {
		p, _ := serve(t, mustParse(t, []byte(whole)), kind, answerWith(409, body))
		if err := p.Abort(t.Context(), created()); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// An upload for which a later request has no address is found out at its start,
// and can be aborted: the manifest is wrong.
func TestLaterRequestsAreReachable(t *testing.T) {
	text := strings.Replace(string(edit(t, "/uploads/{id}/state", "/uploads/{batch}/state")), "keep: '{id}'", "keep: '{id} + if .batch then {batch} else {} end'", 1)
	p, _ := serve(t, mustParse(t, []byte(text)), kind, answerWith(200, `{"id":"u1"}`))
	var wrong *spec.Error
	u, _, err := p.Create(t.Context(), file, upload.Hint{})
	if !errors.As(err, &wrong) || wrong.Problems[0].Key != "probe.send" || !strings.Contains(err.Error(), "no batch") || u.ID != "u1" {
		t.Errorf("create: %q, %v", u.ID, err)
	}
	if _, _, err := p.(upload.Prober).Probe(t.Context(), created()); !errors.As(err, &wrong) || !errors.Is(err, upload.ErrUnsent) {
		t.Errorf("probe: %v", err)
	}
}

// TestUnusableKeep holds that an upload that was opened can be aborted, though not
// all that is to be kept of it is there.
func TestUnusableKeep(t *testing.T) {
	p, _ := speak(t, bearer+`create: {send: POST /u, keep: '{id, key: .k, bucket: .b}', part_size: .each}
part: {send: "PUT /u/{id}/{part.number}", receipt: $header.etag}
complete: {send: "POST /u/{id}/end", ok: .ok, result: .id}
abort: {send: "DELETE /u/{id}"}
`, map[string]string{"POST /v1/u": `{"id":"u1","k":"","each":4}`, "DELETE /v1/u/u1": "204 "})
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if !errors.Is(err, upload.ErrReply) || u.ID != "u1" {
		t.Fatalf("create: %q, %v", u.ID, err)
	}
	if err := p.Abort(t.Context(), u); err != nil {
		t.Errorf("abort: %v", err)
	}
}

// TestNothingKeepsIt holds that a field of $upload that only a later request keeps,
// or none, is the manifest's fault, and is found out when the upload is created.
func TestNothingKeepsIt(t *testing.T) {
	const text = bearer + `create: {send: POST /u, keep: ., part_size: .each}
part: {send: "PUT /u/{id}/{part.number}", keep: ., receipt: $header.etag}
complete:
- {send: "POST /u/{id}/end", keep: .}
- {send: "POST /f/{id}", ok: .ok, result: .id}
abort: {send: "DELETE /u/{id}"}
`
	for _, c := range []struct{ old, new, key string }{
		{"/u/{id}/{part.number}", "/u/{batch}/{part.number}", ""}, // an earlier part's reply may have kept it
		{"/f/{id}", "/f/{batch}", ""},
		{`{send: "POST /u/{id}/end"`, `{send: "POST /u/{batch}/end"`, ""}, // so may the part's here
		{`keep: ., receipt`, `receipt`, ""},
	} {
		p, _ := speak(t, strings.Replace(text, c.old, c.new, 1), map[string]string{"POST /v1/u": `{"id":"u1","each":4}`})
		if _, _, err := p.Create(t.Context(), ten, upload.Hint{}); err != nil {
			t.Errorf("%s: %v", c.new, err)
		}
	}
	noPart := strings.Replace(text, "keep: ., receipt", "receipt", 1)
	for _, c := range []struct{ old, new, key string }{
		{"/u/{id}/{part.number}", "/u/{batch}/{part.number}", "part.send"},
		{`{send: "POST /u/{id}/end"`, `{send: "POST /u/{batch}/end"`, "complete[0].send"},
		{`{send: "POST /u/{id}/end"`, `{send: POST, url: $upload.done`, "complete[0].url"},
		{`{send: "DELETE /u/{id}"`, `{send: "DELETE /u/{id}/{batch}"`, "abort.send"},
	} {
		text := strings.Replace(noPart, c.old, c.new, 1)
		if strings.HasPrefix(c.key, "abort") { // where complete's first request keeps nothing that is not known
			text = strings.Replace(text, `end", keep: .`, `end", keep: '{e: .e}'`, 1)
		}
		p, _ := speak(t, text, map[string]string{"POST /v1/u": `{"id":"u1","each":4}`})
		u, _, err := p.Create(t.Context(), ten, upload.Hint{})
		var wrong *spec.Error
		if !errors.As(err, &wrong) || wrong.Problems[0].Key != c.key || !strings.Contains(err.Error(), "no keep made it") || u.ID != "u1" {
			t.Errorf("%s: %q, %v", c.new, u.ID, err)
		}
	}
}

// No secret gets into the message about the end.
func TestProbeHidesSecrets(t *testing.T) {
	p, _ := serve(t, mustParse(t, []byte(whole)), kind, func(w http.ResponseWriter, r *http.Request) {
		b, _ := marshal(map[string]any{"finished": true, "place": []any{secret}})
		_, _ = w.Write(b)
	})
	_, _, err := p.(upload.Prober).Probe(t.Context(), created())
	if !errors.Is(err, upload.ErrCompleted) || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("%v", err)
	}
}

// A refusal of a request for a part may say that another run completed the upload.
func TestCompletedWhileSending(t *testing.T) {
	m := mustParse(t, []byte(whole))
	for _, c := range []struct {
		status    int
		body      string
		completed bool
		value     string
	}{
		{409, `{"code":"was_done","location":"/a"}`, true, "/a"},
		{409, `{"code":"was_done"}`, true, ""},
		{409, `{"code":"done"}`, false, ""},
		{503, `{"code":"was_done","location":"/a"}`, false, ""},
		{401, `{"code":"was_done","location":"/a"}`, false, ""},
	} {
		p, _ := serve(t, m, kind, answerWith(c.status, c.body))
		u := created()
		_, presign := p.Presign(t.Context(), u, u.Parts)
		for step, err := range map[string]error{"presign": presign, "checkpoint": p.(upload.Checkpointer).Checkpoint(t.Context(), u, nil)} {
			var e *upload.CompletedError
			if is := errors.As(err, &e); is != c.completed || err == nil || is && e.Result.Value != c.value {
				t.Errorf("%s: %d %s: %v", step, c.status, c.body, err)
			}
		}
	}
}
