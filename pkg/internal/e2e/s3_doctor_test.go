package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

// TestS3Doctor looks at a bucket: where it is, by which credentials, and whether
// anything answers there.
func TestS3Doctor(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer server.Close()
	r := onS3(t, realstore.Server{Endpoint: server.URL, AccessKey: "key", SecretKey: "hush-4711"})
	for _, c := range []struct {
		env  []string
		of   string
		code int
		says []string
	}{
		{nil, "s3://bucket", 0, []string{"provider  S3, " + server.URL + "/bucket\n", "key       found by EnvConfigCredentials"}},
		{[]string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}, "s3://bucket", 77, []string{"no AWS credentials (looked in AWS_ACCESS_KEY_ID"}},
		{[]string{"AWS_ENDPOINT_URL_S3=http://" + realstore.Addr(t)}, "s3://bucket", 75, []string{"cannot be reached"}},
		{[]string{"AWS_PROFILE=absent"}, "s3://bucket", 77, []string{`no profile "absent"`}},
		{nil, "s3://Bucket", 64, []string{"not a bucket's name"}},
	} {
		out, code := r.multiput(t, c.env, "doctor", "-p", c.of)
		if code != c.code || strings.Contains(out, "hush") {
			t.Errorf("%v %s: exit code %d, want %d: %s", c.env, c.of, code, c.code, out)
		}
		for _, s := range c.says {
			if !strings.Contains(out, s) {
				t.Errorf("%v %s: it does not say %q: %s", c.env, c.of, s, out)
			}
		}
	}
}
