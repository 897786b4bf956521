package check_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider/check"
	"github.com/multiput/multiput/pkg/provider/manifest"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// TestLiveTellsOfStepsThatAreThere holds that nothing is said of a step for which
// no request was made: small files may have none.
func TestLiveTellsOfStepsThatAreThere(t *testing.T) {
	const text = `version: 1
name: x
create: {send: POST /u, keep: '{id}', part_size: .each}
part: {send: "PUT /u/{id}/{part.number}", receipt: .etag}
checkpoint: {send: "POST /u/{id}/seen"}
complete: {send: "POST /u/{id}/end", ok: .ok, result: .id}
probe: {send: "GET /u/{id}", done: .ok}
abort: {send: "DELETE /u/{id}"}
`
	for small, want := range map[string]string{
		"": "create part checkpoint complete probe create abort",
		"small: {max_size: 1MB, checkpoint: null, probe: null, abort: null}": "create part complete",
		"small: {max_size: 1MB, checkpoint: null}":                           "create part complete probe create abort",
		"small: {max_size: 1B, checkpoint: null}":                            "create part checkpoint complete probe create abort",
	} {
		var sent []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent = append(sent, r.Method)
			_, _ = w.Write([]byte(`{"id":"u1","each":100,"etag":"e","ok":true}`))
		}))
		t.Cleanup(server.Close)
		m, err := manifest.Parse("x.yaml", []byte(text+small))
		if err != nil {
			t.Fatal(err)
		}
		d := m.Definition()
		p, err := d.Open(spec.Settings{Base: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		live := check.Live{Provider: p, Aborts: d.Abilities.Aborts, Tell: func(step string, err error) {
			told = append(told, step)
			if err != nil {
				t.Errorf("%s: %s: %v", small, step, err)
			}
		}}
		if _, err := live.Run(t.Context(), upload.File{Name: "a.txt"}, []byte("some bytes")); err != nil {
			t.Errorf("%s: %v", small, err)
		}
		if got := strings.Join(told, " "); got != want || len(sent) != len(told) || slices.Contains(sent, http.MethodDelete) != strings.Contains(want, "abort") {
			t.Errorf("%s: told of %s, sent %v, want %s", small, got, sent, want)
		}
	}
}
