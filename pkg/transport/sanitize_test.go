package transport_test

import (
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/transport"
)

// seeded is what must not be seen again: shaped as a signature is.
const seeded = "Zx9q0SECRET7hJk2LmN5pQ8rT1vW4yZ"

// leak reports what of the seeded secret is in a text: all of it or a piece
// that is long enough to matter.
func leak(text string) bool {
	const piece = 8
	for i := 0; i+piece <= len(seeded); i++ {
		if strings.Contains(text, seeded[i:i+piece]) {
			return true
		}
	}
	return false
}

// bearers are the query parameters that make a URL a key: S3's (versions 4 and
// 2), Google's, Azure's, CloudFront's, and those of APIs.
var bearers = []string{
	"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "X-Amz-Unheard-Of",
	"X-Goog-Signature", "X-Goog-Credential", "GoogleAccessId",
	"sig", "skoid", "sktid",
	"Signature", "Policy", "Key-Pair-Id",
	"AWSAccessKeyId", "OSSAccessKeyId", "security-token",
	"key", "token", "access_token", "api_key", "apikey", "auth", "upload_id", "uploadId", "password", "st%67",
}

// What a URL with a secret in it may be wrapped in, before it comes to us in a
// message: each URL, whatever is around it, loses its secret.
func TestNoSecretInAnyEncoding(t *testing.T) {
	plain := func(s string) string { return s }
	// A name whose every letter is percent-encoded is the same name.
	encoded := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			fmt.Fprintf(&b, "%%%02x", c)
		}
		return b.String()
	}
	names := map[string]func(string) string{
		"as it is": plain, "lower case": strings.ToLower, "upper case": strings.ToUpper, "percent-encoded": encoded,
		"percent-encoded twice": func(s string) string { return url.QueryEscape(encoded(s)) },
	}
	seps := map[string]string{"&": "&", ";": ";", "%26": "%26", "%3B": "%3B", "&amp;": "&amp;", `\u0026`: `\u0026`, "first": ""}
	encodings := map[string]func(string) string{
		"alone":         plain,
		"in a sentence": func(s string) string { return "could not reach " + s + ", sorry" },
		"quoted":        func(s string) string { return `Put "` + s + `": EOF` },
		"in brackets":   func(s string) string { return "(see <" + s + ">)" },
		"two of them":   func(s string) string { return s + " and " + s + "," + s },
		"glued":         func(s string) string { return s + "," + s + ";" + s },
		"in JSON":       func(s string) string { return `{"error":{"url":"` + s + `","x":1}}` },
		`with \/`:       func(s string) string { return `{"url":"` + strings.ReplaceAll(s, "/", `\/`) + `"}` },
		"JSON in JSON":  func(s string) string { return `{"a":"{\"url\":\"` + strings.ReplaceAll(s, "/", `\\/`) + `\"}"}` },
		`with \u002f`:   func(s string) string { return `{"url":"` + strings.ReplaceAll(s, "/", `\u002f`) + `"}` },
		"in HTML":       func(s string) string { return `<a href="` + html.EscapeString(s) + `">x</a>` },
		"HTML, numbers": func(s string) string {
			return strings.NewReplacer("&", "&#38;", "=", "&#x3D;", "/", "&#47;").Replace(s)
		},
		"as a query":      func(s string) string { return "https://proxy.example/?u=" + url.QueryEscape(s) },
		"without scheme":  func(s string) string { return strings.TrimPrefix(s, "https:") },
		"only path":       func(s string) string { return strings.TrimPrefix(s, "https://h.example") },
		"in Markdown":     func(s string) string { return "[x](" + s + ")" },
		"over two lines":  func(s string) string { return "GET\n" + s + "\nHost: x" },
		"upper case":      func(s string) string { return "HTTPS" + strings.TrimPrefix(s, "https") },
		"zero width":      func(s string) string { return strings.Replace(s, "://", ":\u200b//", 1) },
		"percent-encoded": url.QueryEscape,
		"with an unknown": func(s string) string { return strings.Replace(s, "https", "x-y+z.1", 1) },
	}
	for _, name := range bearers {
		for spelling, spell := range names {
			for sep, with := range seps {
				raw := "https://h.example/b/k?partNumber=1" + with + spell(name) + "=" + seeded
				if sep == "first" {
					raw = "https://h.example/b/k?" + spell(name) + "=" + seeded + "&partNumber=1"
				}
				if got := transport.Redact(raw); leak(got) {
					t.Errorf("Redact, %s, name %s, behind %s: %s", name, spelling, sep, got)
				}
				for what, wrap := range encodings {
					if got := transport.Clean(wrap(raw)); leak(got) {
						t.Errorf("Clean, %s %s, name %s, behind %s:\n %s\n gives %s", name, what, spelling, sep, wrap(raw), got)
					}
				}
			}
		}
	}
}

// Secrets that are in no query: in the user's place of a URL, behind its #, in
// headers, JSON and XML that a server sends back.
func TestNoSecretThatIsEchoed(t *testing.T) {
	for _, text := range []string{
		"https://" + seeded + "@h/p", "https://user:" + seeded + "@h/p", "https://user:p@" + seeded + "@h/p", "socks5://u:" + seeded + "@h:1",
		"https://h/p#" + seeded, "https://h/p#access_token=" + seeded, "https://h/p?a=1#sig=" + seeded,
		`https:\/\/user:` + seeded + `@h\/p`, "proxyconnect tcp: dial http://u:" + seeded + "@10.0.0.1:3128: refused",
		// Headers, as they are echoed by debugging servers.
		"Authorization: Bearer " + seeded, "authorization: bearer " + seeded, "Authorization: Basic " + seeded + "==",
		"Authorization: " + seeded, "Authorization: Token " + seeded, "Authorization: Token token=" + seeded, "Authorization: ApiKey " + seeded,
		"Authorization=Bearer%20" + seeded, "'Authorization': 'Bearer " + seeded + "'", `"authorization":["Bearer ` + seeded + `"]`,
		`{"headers":{"Authorization":"Bearer ` + seeded + `","x-api-key":"` + seeded + `"}}`, "map[Authorization:[Bearer " + seeded + "] X-Api-Key:[" + seeded + "]]",
		"x-api-key: " + seeded, "X-API-Key=" + seeded, "X-Api-Key " + seeded, "api-key: " + seeded, "apikey:" + seeded, "Ocp-Apim-Subscription-Key: " + seeded,
		"Proxy-Authorization: Basic " + seeded, "Cookie: session=" + seeded + "; b=2", "Set-Cookie: sid=" + seeded + "; Path=/", "X-Auth-Token: " + seeded,
		"x-amz-security-token:" + seeded, "X-Goog-Api-Key: " + seeded, "client_secret=" + seeded, "private_key: " + seeded, "refresh_token=" + seeded,
		"x-ms-encryption-key: " + seeded, "x-amz-server-side-encryption-customer-key: " + seeded, "SharedAccessSignature=" + seeded, "AccountKey=" + seeded + "==;EndpointSuffix=x",
		// JSON within JSON.
		`{\"api_key\":\"` + seeded + `\"}`, `{\\\"api_key\\\":\\\"` + seeded + `\\\"}`, `&quot;token&quot;:&quot;` + seeded + `&quot;`,
		// The body of S3's SignatureDoesNotMatch, and what it is made of.
		"<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>" + seeded + "</AWSAccessKeyId></Error>",
		"<StringToSign>AWS4-HMAC-SHA256\n20261101T000000Z\n20261101/us-east-1/s3/aws4_request\n" + seeded + "</StringToSign>",
		"<SignatureProvided>" + seeded + "</SignatureProvided>", "<Signature>" + seeded + "</Signature>",
		"<CanonicalRequest>PUT\n/b/k\nX-Amz-Credential=" + seeded + "%2F2026&amp;X-Amz-Security-Token=" + seeded + "\nhost:h\n\nhost\nUNSIGNED-PAYLOAD</CanonicalRequest>",
		"<Token>" + seeded + "</Token>", "<Secret>" + seeded + "</Secret>", "<aws:AWSAccessKeyId x=\"1\">" + seeded + "</aws:AWSAccessKeyId>",
		"&lt;AWSAccessKeyId&gt;" + seeded + "&lt;/AWSAccessKeyId&gt;",
		"AWS4-HMAC-SHA256 Credential=" + seeded + "/20261101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=" + seeded,
		"AWS AKIAIOSFODNN7EXAMPLE:" + seeded, "Authorization: AWS AKIAIOSFODNN7EXAMPLE:" + seeded, "SharedKey account:" + seeded, "GOOG4-RSA-SHA256 Credential=" + seeded,
		// Messages for people.
		"Incorrect API key provided: " + seeded + ". You can find it", "invalid token '" + seeded + "'", "the key \"" + seeded + "\" is not valid",
		"Bad credentials (" + seeded + ")", "API key " + seeded + " has expired", "unknown access key " + seeded,
	} {
		for _, s := range []string{text, strings.ToUpper(text[:1]) + text[1:], "500: " + text + " (request 7)", strings.ReplaceAll(text, " ", "\u00a0")} {
			if got := transport.Clean(s); leak(got) {
				t.Errorf("%q\n gives %q", s, got)
			}
		}
	}
}

// What has no secret in it stays as it is: it has to be readable.
func TestPlainWordsStay(t *testing.T) {
	for _, s := range []string{
		"upload upl_0f8fad5b9cbd469fa165 not found (request id 4f1b2c3d-9cbd-469f-a165-70867728950e)",
		"part 3: the checksum 9e107d9d372bb6826bd81d3542a419d6 does not match", "invalid token in line 3, column 14",
		"Authorization is required", "the authorization header is missing", "Unauthorized: please sign in",
		"key: uploads/2026/11/file.bin exists", "NoSuchKey: the specified key does not exist", "a monkey: 1234567890abcdef1234",
		`open C:\users\me\a.bin: Access is denied.`, `open \\server\share\u00ff\a.bin: not found`, "R&D <b> 3 < 4 && 5 > 4", "why? because=it is",
		"dial tcp 10.0.0.1:443: connect: connection refused", "file a=b.bin", "expires at 2026-11-01T00:00:00Z", "50% of 3 parts, 100%? yes",
		"https://docs.example.com/errors#403",
	} {
		want := strings.TrimSuffix(s, "#403") // where a secret can be
		if got := transport.Clean(s); got != want {
			t.Errorf("%q\n gives %q", s, got)
		}
	}
}
