package provider_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

// TestOwnReceipts holds that a receipt which is made of what multiput knows
// proves nothing: a digest of the part is no answer of a store, whatever the
// confirmation makes of it, and whether or not the store sends an ETag.
func TestOwnReceipts(t *testing.T) {
	const confirmed = "\n  confirm: {send: \"POST /add/{part.number}\", body: '{r: $part.receipt}', receipt: .id}"
	digest := func(s string) string {
		sum := md5.Sum([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	for name, c := range map[string]struct {
		receipt string
		confirm bool
		etag    string // %s: the part's MD5
		proof   string
	}{
		"own":                                 {"$part.md5", false, "", upload.Unverified},
		"own, and confirmed":                  {"$part.md5", true, "", upload.Unverified},
		"own, and a store's":                  {"$part.md5", false, `"%s"`, upload.VerifiedETag},
		"own, and a store's without quotes":   {"$part.md5", false, `%s`, upload.VerifiedETag},
		"own, a store's, and confirmed":       {"$part.md5", true, `"%s"`, upload.VerifiedETag},
		"own, and a store's that is no MD5":   {"$part.md5", true, `"x-1"`, upload.Unverified},
		"of the reply":                        {".sum", false, "", upload.VerifiedETag},
		"of the reply, and confirmed":         {".sum", true, "", upload.Unverified},
		"of the reply, or else own":           {".none // $part.md5", true, "", upload.Unverified},
		"of the store, and confirmed":         {"$header.etag", true, `"%s"`, upload.VerifiedETag},
		"of the store, no MD5, and confirmed": {"$header.etag", true, `"y"`, upload.Unverified},
	} {
		t.Run(name, func(t *testing.T) {
			confirm := ""
			if c.confirm {
				confirm = confirmed
			}
			r := run(t, `create: {send: POST /u, keep: '{id}', part_size: .each, urls: '.urls[]'}
part:
  send: PUT
  digests: [md5]
  receipt: `+c.receipt+confirm+`
complete: {send: POST /end, body: '[$parts[].receipt]', ok: .ok, result: .id}
`, "0123456789ab", func(w http.ResponseWriter, is, body string) {
				switch {
				case is == "POST /u":
					fmt.Fprint(w, `{"id":"u1","each":4,"urls":["/s/1","/s/2","/s/3"]}`)
				case strings.HasPrefix(is, "PUT "):
					if c.etag != "" {
						w.Header().Set("ETag", strings.ReplaceAll(c.etag, "%s", digest(body)))
					}
					fmt.Fprintf(w, `{"sum":%q}`, digest(body))
				case strings.HasPrefix(is, "POST /add/"):
					fmt.Fprintf(w, `{"id":"c-%s"}`, is[len("POST /add/"):])
				default:
					_, _ = io.WriteString(w, `{"ok":true,"id":"f1"}`)
				}
			})
			rep, err := r.upload(t.Context())
			if err != nil || rep.Result.Value != "f1" || rep.Verification != c.proof {
				t.Errorf("%q, %s, %v; want %s", rep.Result.Value, rep.Verification, err, c.proof)
			}
			for _, n := range "123" {
				if puts := r.count("PUT /s/" + string(n)); puts != 1 {
					t.Errorf("part %c was sent %d times", n, puts)
				}
			}
			if got := r.body[len(r.body)-1]; c.confirm && got != `["c-1","c-2","c-3"]` {
				t.Errorf("complete has %s", got)
			}
		})
	}
}
