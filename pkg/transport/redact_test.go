package transport_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/multiput/multiput/pkg/transport"
)

func TestRedact(t *testing.T) {
	for raw, want := range map[string]string{
		"https://api.example.com/v1/uploads":  "https://api.example.com/v1/uploads",
		"https://h:8443/a%2Fb/c%20d?":         "https://h:8443/a%2Fb/c%20d",
		"https://h/up/…/p?…":                  "https://h/up/…/p?…",
		"https://u:SECRET@h/p#SECRET":         "https://h/p",
		"https://SECRET@h/p":                  "https://h/p",
		"https://h/p?SECRET":                  "https://h/p?…",
		"https://h/p?U0VDUkVU==":              "https://h/p?…",
		"https://h/p?a=SECRET&b=SECRET&c":     "https://h/p?…",
		"https://h/p?uploads&uploadId=SECRET": "https://h/p?uploads&uploadId=…",
		"https://b.s3.amazonaws.com/k?partNumber=3&uploadId=SECRET&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=SECRET%2F20261101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261101T000000Z&X-Amz-Expires=900&X-Amz-Security-Token=SECRET&X-Amz-SignedHeaders=content-length%3Bhost&X-Amz-Signature=SECRET": "https://b.s3.amazonaws.com/k?partNumber=3&uploadId=…&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=…&X-Amz-Date=20261101T000000Z&X-Amz-Expires=900&X-Amz-Security-Token=…&X-Amz-SignedHeaders=content-length%3Bhost&X-Amz-Signature=…",
		"https://acct.blob.core.windows.net/c/b?sv=2024-11-04&se=2026-11-01T00:00:00Z&sr=b&sp=cw&sig=SECRET%3D": "https://acct.blob.core.windows.net/c/b?sv=…&se=2026-11-01T00:00:00Z&sr=…&sp=…&sig=…",
		"https://storage.googleapis.com/b/o?GoogleAccessId=SECRET&Expires=1&Signature=SECRET":                   "https://storage.googleapis.com/b/o?GoogleAccessId=…&Expires=…&Signature=…",
		// Values that hide further parameters, escaped or not.
		`https://h/p?partNumber=1\u0026sig=SECRET`:   "https://h/p?partNumber=…",
		"https://h/p?partNumber=1%26sig%3DSECRET":    "https://h/p?partNumber=…",
		"https://h/p?partNumber=1;sig=SECRET":        "https://h/p?partNumber=…",
		"https://h/p?partNumber=1&amp;sig=SECRET":    "https://h/p?partNumber=1&…",
		"https://h/p?se=" + strings.Repeat("S", 200): "https://h/p?se=…",
		// What is not a URL, or not of the usual kind.
		"https://u:SECRET%zz@h/p":             "https:…",
		"https:u:SECRET@h/p":                  "https:…",
		"SECRET%zz":                           "…",
		"https://h/\x1b]0;x\a?sig=SECRET":     "https:…",
		"https://h/%1b%5d0%3bx?sig=SECRET":    "https://h/%1b%5d0%3bx?sig=…",
		"/v1/uploads?key=SECRET":              "/v1/uploads?key=…",
		"":                                    "",
		"https://h/" + strings.Repeat("é", 5): "https://h/" + strings.Repeat("%C3%A9", 5),
	} {
		if got := transport.Redact(raw); got != want {
			t.Errorf("%s\n  gives %s\n  want  %s", raw, got, want)
		}
	}
}

// TestRedactSigned: an upload link may have its token in the path alone.
func TestRedactSigned(t *testing.T) {
	for raw, want := range map[string]string{
		"https://h/bucket/photos/2026/a.bin?partNumber=3&X-Amz-Signature=SECRET": "https://h/bucket/…/2026/…?partNumber=3&X-Amz-Signature=…",
		"https://h/v2/up/SECRETSECRET/part/7?x=SECRET":                           "https://h/v2/up/…/part/7?…",
		"https://h/v2/up/…/part/7?…":                                             "https://h/v2/up/…/part/7?…",
		"https://h/eyJhbGciOiJIUzI1NiJ9.eyJ4IjoxfQ.c2ln":                         "https://h/…",
		"https://h/u/3f1c9a7d-secret":                                            "https://h/u/…",
		"https://h/u/s%65cret":                                                   "https://h/u/…",
		"https://h//a/":                                                          "https://h//a/",
		"https://h":                                                              "https://h",
		"https://u:SECRET@h/part":                                                "https://h/part",
		"https://h/uploads/secret/my-secret.token/Secret/7/parts/12":             "https://h/uploads/…/…/…/7/parts/12",
		"https://h/longlowercasetokenwithoutdigits":                              "https://h/…",
	} {
		if got := transport.RedactSigned(raw); got != want {
			t.Errorf("%s\n  gives %s\n  want  %s", raw, got, want)
		}
	}
}

// TestNoTokenOfThePath looks at all that is said of a presigned URL.
func TestNoTokenOfThePath(t *testing.T) {
	for _, token := range []string{"hunter22hunter22", "secretword", "s3cr", "secret-token"} {
		noTokenOfThePath(t, token)
	}
}

func noTokenOfThePath(t *testing.T, token string) {
	t.Helper()
	var said []string
	c := &transport.Client{Trace: func(line string) { said = append(said, line) }}
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, to := range []string{url + "/up/" + token + "/1", "http://127.0.0.1:1/up/" + token, "http://example.com/up/" + token} {
		q := put(to, strings.NewReader("x"), 1)
		q.Signed = true
		reply, err := c.Do(t.Context(), q)
		if err == nil {
			err = reply.Error("", "", "")
			said = append(said, reply.Error("NoSuchUpload", "no upload /up/"+token+" is known", "").Error())
		}
		said = append(said, err.Error(), fmt.Sprintf("%+v", err))
	}
	if all := strings.Join(said, "\n"); strings.Contains(all, token) || !strings.Contains(all, url+"/up/…/1") {
		t.Errorf("said:\n%s", all)
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"plain words, 100%":                            "plain words, 100%",
		" two\nlines\r\n\tand\u2028more ":              "two lines and more",
		"\x1b[31mred\x1b]0;title\x07\u009b2J":          "[31mred]0;title2J",
		"bidi \u202egnp.exe\u2066 \u200bzero\ufeff":    "bidi gnp.exe zero",
		"bad \xff\xfe utf8":                            "bad � utf8",
		"nul\x00byte\x7f":                              "nulbyte",
		"see https://h/p?X-Amz-Signature=SECRET1 for":  "see https://h/p?X-Amz-Signature=… for",
		`{"url":"HTTPS://h/p?sig=SECRET1"}`:            `{"url":"https://h/p?sig=…"}`,
		"Put \"https://u:SECRET1@h/p\": EOF":           "Put \"https://h/p\": EOF",
		"proxy http://u:SECRET1@10.0.0.1:3128 refused": "proxy http://10.0.0.1:3128 refused",
		"socks5://u:SECRET1@10.0.0.1":                  "socks5://10.0.0.1",
		"Authorization: Bearer SECRET1.abc-def_ghi":    "Authorization: Bearer …",
		"authorization: basic U0VDUkVU":                "authorization: basic …",
		"Be\u200barer SECRET123":                       "Bearer …",
		"AWS4-HMAC-SHA256 Credential=SECRET12/20261101/x, SignedHeaders=host, Signature=SECRET123": "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=host, Signature=…",
		"<Token>x</Token> X-Amz-Security-Token=SECRET123":                                          "<Token>x</Token> X-Amz-Security-Token=…",
		"Incorrect API key provided: sk-SECRET123.":                                                "Incorrect API key provided: …",
		`{"api_key": "SECRET123"}`:                                                                 `{"api_key": "…"}`,
		"password=SECRET123&x=1":                                                                   "password=…&x=1",
		"unexpected token: identifier":                                                             "unexpected token: identifier",
		"the signature: missing":                                                                   "the signature: missing",
		"":                                                                                         "",
	} {
		if got := transport.Clean(text); got != want {
			t.Errorf("%q\n  gives %q\n  want  %q", text, got, want)
		}
	}
	long := transport.Clean(strings.Repeat("word ", 1_000_000))
	if n := utf8.RuneCountInString(long); n != 1001 || !strings.HasSuffix(long, "…") {
		t.Errorf("a long text gives %d characters", n)
	}
	if long := transport.Redact("https://h/" + strings.Repeat("x", 1_000_000)); len(long) > 1010 {
		t.Errorf("a long URL gives %d bytes", len(long))
	}
}

// TestErrorsTellNoSecret makes exchanges fail in every way there is and looks
// for the secret in the messages.
func TestErrorsTellNoSecret(t *testing.T) {
	const secret = "Zx9SECRETq"
	query := "/o?X-Amz-Signature=" + secret + "&" + secret
	echo := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "\u009b31m"+strings.Repeat("i", 5000))
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, "no leave for http://%s%s with Authorization: %s", r.Host, r.URL, r.Header.Get("Authorization"))
	})
	c := &transport.Client{}
	q := put(echo+query, strings.NewReader("x"), 1)
	q.Header = http.Header{"Authorization": {"Bearer " + secret}}
	reply, err := c.Do(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	all := []error{reply.Error("AccessDenied", string(reply.Body), ""), reply.Error("", "", "")}
	for _, url := range []string{
		"http://127.0.0.1:1" + query, "http://example.com" + query, "http://u:" + secret + "@127.0.0.1:1/",
		"https://u:" + secret + "%zz@h/", "gopher:" + secret, "https://[::" + query, "https://127.0.0.1:1" + query,
		"https://" + secret + "\x00.example/",
	} {
		_, err := c.Do(t.Context(), put(url, strings.NewReader("x"), 1))
		all = append(all, err)
	}
	q.Header = http.Header{"X-\x00": {secret}}
	_, err = c.Do(t.Context(), q)
	all = append(all, err)
	for _, err := range all {
		for e := err; e != nil; e = errors.Unwrap(e) {
			if _, own := e.(*transport.Error); own && strings.Contains(e.Error(), secret) { //nolint:errorlint // each in turn
				t.Errorf("%v", e)
			}
		}
		if s := err.Error(); len(s) > 3000 || !printable(s) {
			t.Errorf("%d bytes, or not fit for a terminal: %q", len(s), s[:min(len(s), 200)])
		}
	}
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Cf) })
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"https://h/?sig=x", "Bearer abcdefgh1", "\x1b[2J", "token: abcdefgh1", strings.Repeat("é", 9000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := transport.Clean(s)
		if !printable(once) || utf8.RuneCountInString(once) > 1001 {
			t.Errorf("%q", once)
		}
	})
}

// What is in the query under an unknown name, in the user's place or behind the
// # is not shown, whatever else the URL is.
func FuzzRedact(f *testing.F) {
	f.Add("https", "h", "/p", "a=b")
	f.Add("http", "h:1", "", "X-Amz-Date=1&")
	f.Add("", "", "", "%zz")
	f.Fuzz(func(t *testing.T, scheme, host, path, query string) {
		const secret = "Zx9-SECRET-q"
		for _, raw := range []string{
			scheme + "://" + host + path + "?" + query + "&unheard-of=" + secret,
			scheme + "://" + host + path + "?" + query + "&" + secret,
			scheme + "://u:" + secret + "@" + host + path,
		} {
			if strings.ContainsAny(scheme+host, "/?#@\\") || strings.ContainsAny(path, "?#@\\") || strings.Contains(scheme, ":") || strings.ContainsAny(query, "#") {
				t.Skip() // it would end what the secret is put into
			}
			if got := transport.Redact(raw); strings.Contains(got, secret) || !printable(got) {
				t.Errorf("%q gives %q", raw, got)
			}
		}
	})
}
