package manifest

import (
	"net/url"
	"strings"
	"testing"
)

func TestPathEscaping(t *testing.T) {
	for _, c := range []struct{ send, id, want string }{
		{"POST /u/{id}/parts", "abc", "/u/abc/parts"},
		{"POST /u/{id}/parts", "a b", "/u/a%20b/parts"},
		{"POST /u/{id}/parts", "a/b", "/u/a%2Fb/parts"},
		{"POST /u/{id}/parts", "a?b#c", "/u/a%3Fb%23c/parts"},
		{"POST /u/{id}/parts", "a%2fb", "/u/a%252fb/parts"},
		{"POST /u/{id}/parts", "2~VmxqS+xyz=", "/u/2~VmxqS+xyz=/parts"},
		{"POST /u/{id}/parts", "é", "/u/%C3%A9/parts"},
		{"POST /u/x{id}y", ".", "/u/x.y"},
		{"POST /u/{id}?x={id}&v=1", "a&b=c d", "/u/a&b=c%20d?x=a%26b%3Dc+d&v=1"},
		{"POST /u/{id}", "..", ""}, {"POST /u/{id}", ".", ""}, {"POST /u/{id}", "%2e%2E", ""}, {"POST /u/{id}", "a/../b", ""},
		{"POST /u/{id}", `a\..\b`, ""}, {"POST /u/{id}", "a\nb", ""}, {"POST /u/{id}", "", ""}, {"POST /u/.{id}", ".", ""},
	} {
		_, path, err := parseSend(c.send)
		if err != nil {
			t.Fatal(err)
		}
		got, err := path.expand(&scope{upload: map[string]any{"id": c.id}})
		if strings.HasPrefix(c.send, "POST /u/x") && c.id == "." { // a dot alone is refused wherever it stands
			if err == nil {
				t.Errorf("%s with %q is %s", c.send, c.id, got)
			}
			continue
		}
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s with %q is %q, %v; want %q", c.send, c.id, got, err, c.want)
		}
	}
	_, path, err := parseSend("POST /u/{id}")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{nil, true, 1.5, []any{"a"}, map[string]any{}} {
		if got, err := path.expand(&scope{upload: map[string]any{"id": v}}); err == nil {
			t.Errorf("%v became %s", v, got)
		}
	}
	if got, err := path.expand(&scope{upload: map[string]any{"id": fromInt64(9007199254740993)}}); got != "/u/9007199254740993" || err != nil {
		t.Errorf("a number became %s, %v", got, err)
	}
}

// FuzzPath holds that whatever an API calls an upload, the request stays below
// the path that the manifest has for it.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"abc", "..", "a/../../b", "%2e%2e/", "?x", "#", "\\", "\x00", "é", "{id}"} {
		f.Add(s)
	}
	_, path, err := parseSend("POST /v1/uploads/{id}/complete?by={id}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id string) {
		got, err := path.expand(&scope{upload: map[string]any{"id": id}})
		if err != nil {
			return
		}
		u, err := url.Parse("https://acme.example" + got)
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		clean := u.JoinPath().EscapedPath()
		if n := strings.Count(u.EscapedPath(), "/"); n != 4 || !strings.HasPrefix(clean, "/v1/uploads/") || !strings.HasSuffix(clean, "/complete") {
			t.Errorf("%q leads to %s", id, u)
		}
		if u.Query().Get("by") != id || u.Fragment != "" || u.Path != "/v1/uploads/"+id+"/complete" {
			t.Errorf("%q became %s", id, u)
		}
	})
}

// FuzzFolder holds the same for a value whose slashes are the path's own.
func FuzzFolder(f *testing.F) {
	for _, s := range []string{"/a/b", "a", "..", "a/../../b", "/%2e%2e/", "//x", "?x", "#", "\\", "a\\..\\b", "\x00", "é/ü", "{id}", "/"} {
		f.Add(s)
	}
	_, path, err := parseSend("POST /v1/files/{+options.folder}/{file.name}?by={options.folder}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, folder string) {
		got, err := path.expand(&scope{options: map[string]any{"folder": folder}, file: map[string]any{"name": "a.bin"}})
		if err != nil {
			return
		}
		u, err := url.Parse("https://acme.example" + got)
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		clean := u.JoinPath().EscapedPath()
		if !strings.HasPrefix(clean, "/v1/files/") || !strings.HasSuffix(clean, "/a.bin") || u.Host != "acme.example" {
			t.Errorf("%q leads to %s", folder, u)
		}
		if u.Query().Get("by") != folder || u.Fragment != "" || u.Path != "/v1/files/"+strings.TrimLeft(folder, "/")+"/a.bin" {
			t.Errorf("%q became %s", folder, u)
		}
	})
}
