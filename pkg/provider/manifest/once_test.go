package manifest

import (
	"errors"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/provider/spec"
)

// TestOneFaultOneError holds that a key with a value that cannot be read is
// reported once, and that nothing else is made of it.
func TestOneFaultOneError(t *testing.T) {
	for name, text := range map[string]string{"whole": whole, "formed": formed, "played": played, "found": "version: 1\nname: x\nbase: https://api.example:8443\n" + found, "every": every} {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		mustParse(t, []byte(text))
		var walk func(path string, n *yaml.Node)
		walk = func(path string, n *yaml.Node) {
			for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
				key, v := path+n.Content[i].Value, n.Content[i+1]
				if strings.HasPrefix(key, "samples") || key == "version" || key == "name" {
					continue
				}
				was := *v
				for _, bad := range []yaml.Node{
					{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.SingleQuotedStyle, Value: "{ \u00e4"},
					{Kind: yaml.SequenceNode, Content: []*yaml.Node{{Kind: yaml.SequenceNode}}},
				} {
					*v = bad
					out, err := yaml.Marshal(&doc)
					if err != nil {
						t.Fatal(err)
					}
					_, err = Parse("x.yaml", out)
					var e *spec.Error
					if !errors.As(err, &e) {
						continue // it can be read
					}
					if len(e.Problems) != 1 {
						t.Errorf("%s: %s: %s:\n%v", name, key, strings.TrimSpace(bad.Value), err)
					}
				}
				*v = was
				walk(key+".", v)
			}
			for _, v := range n.Content {
				if n.Kind == yaml.SequenceNode || n.Kind == yaml.DocumentNode {
					walk(path, v)
				}
			}
		}
		walk("", &doc)
	}
}

// every is a manifest with most keys.
const every = `version: 1
name: x
auth: {header: Authorization, value: "Bearer {secret}"}
options: {kind: {type: string, default: a, help: its kind}}
create:
- {send: "POST /a", headers: '{a: "b"}', query: '{a: 1}', text: '"x"', type: text/plain, keep: '{tmp: .t}', ok: .ok}
- {send: POST, url: '$base + "/x"', body: '{}', keep: '{id}', size: .size, digest: .digest, parts: '.p[]', urls: '.u[]', expires: .e}
presign: {send: "POST /p/{id}", body: '[$parts[].number]', urls: '.u[]', max: 3}
part: {send: PUT, receipt: $header.etag, confirm: {send: "POST /c/{id}/{part.number}", receipt: .r}}
checkpoint: {send: "POST /cp/{id}", body: '[$parts[].receipt]'}
complete:
- {send: "POST /d/{id}", body: '{}', keep: '{e: .e}'}
- {send: POST, url: $upload.e, auth: false, already: .a, pending: .p, ok: .ok, result: .id}
probe: {send: "GET /u/{id}", done: .d, result: .r}
abort: {send: "DELETE /u/{id}"}
ready: {send: "GET /r/{id}", done: .d, failed: .f, every: 2s, timeout: 3m}
small: {max_size: 1MB, create: null, presign: null, part: {send: "PUT /s", receipt: .r, result: .id}, checkpoint: null, complete: null, probe: null, abort: null, ready: null}
limits: {max_size: 1GB, part: {min: 5MiB, max: 5GiB, multiple: 1MiB}}
error: {message: .m, gone: .g, retry: .r}
`
