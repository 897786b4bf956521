package provider_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

// ending is a manifest whose API says in so many words that an upload was
// completed before, and that it is gone.
const ending = `create: {send: POST /u, keep: '{id}', part_size: .each}
part: {send: "PUT /u/{id}/{part.number}", receipt: .e}
complete:
- {send: "POST /u/{id}/close", ok: .ok, already: .code == "closed", keep: '{etag: .etag}'}
- {send: "POST /u/{id}/file", body: '{etag: $upload.etag}', ok: .ok, already: .code == "exists", result: .file}
error: {gone: .code == "gone", message: .code}
`

// TestAlreadyCompleted loses the reply to each request of complete, once it was
// acted on: the next says that it was done before, and that is a success, with
// what it keeps and what it came to.
func TestAlreadyCompleted(t *testing.T) {
	for _, lost := range []string{"close", "file"} {
		for _, status := range []int{http.StatusConflict, http.StatusOK, http.StatusNotFound} {
			t.Run(fmt.Sprint(lost, status), func(t *testing.T) {
				done := map[string]bool{}
				r := run(t, ending, "0123456789", func(w http.ResponseWriter, is, body string) {
					word := is[strings.LastIndexByte(is, '/')+1:]
					switch again := done[word]; {
					case is == "POST /u":
						fmt.Fprint(w, `{"id":"u1","each":4}`)
					case strings.HasPrefix(is, "PUT "):
						fmt.Fprint(w, `{"e":"x"}`)
					case word == "file" && body != `{"etag":"E"}`:
						t.Errorf("the file is made of %s", body)
					case again:
						w.WriteHeader(status)
						fmt.Fprintf(w, `{"code":%q,"etag":"E","file":"f1"}`, map[string]string{"close": "closed", "file": "exists"}[word])
					default:
						if done[word] = true; word == lost {
							panic(http.ErrAbortHandler)
						}
						fmt.Fprint(w, `{"ok":true,"etag":"E","file":"f1"}`)
					}
				})
				rep, err := r.upload(t.Context())
				if err != nil || rep.Result.Value != "f1" || r.count("POST /u/u1/"+lost) != 2 || r.count("POST /u") != 1 {
					t.Errorf("%q, %v, after %v", rep.Result.Value, err, r.seen)
				}
			})
		}
	}
}

// TestGone has the API forget an upload at each step: another is begun, and
// nothing of the first counts.
func TestGone(t *testing.T) {
	for _, at := range []string{"PUT /u/u1/2", "POST /u/u1/close", "POST /u/u1/file"} {
		t.Run(at, func(t *testing.T) {
			uploads := 0
			r := run(t, ending, "0123456789", func(w http.ResponseWriter, is, _ string) {
				switch {
				case is == "POST /u":
					uploads++
					fmt.Fprintf(w, `{"id":"u%d","each":4}`, uploads)
				case is == at:
					w.WriteHeader(http.StatusNotFound)
					fmt.Fprint(w, `{"code":"gone"}`)
				default:
					fmt.Fprint(w, `{"ok":true,"e":"x","etag":"E","file":"f1"}`)
				}
			})
			r.Concurrency = 1
			rep, err := r.upload(t.Context())
			if err != nil {
				if !errors.Is(err, upload.ErrGone) {
					t.Errorf("it ended with %v", err)
				}
				rep, err = r.upload(t.Context())
			}
			if err != nil || rep.Result.Value != "f1" || uploads != 2 || r.count("PUT /u/u2/1") != 1 {
				t.Errorf("%q, %v, after %v", rep.Result.Value, err, r.seen)
			}
		})
	}
}
