package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

// TestS3NothingIsSent gives commands for a bucket that are wrong, or only say what
// they would do: they end with their exit code, and the store hears of none.
func TestS3NothingIsSent(t *testing.T) {
	t.Parallel()
	var heard atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	defer server.Close()
	r := onS3(t, realstore.Server{Endpoint: server.URL, AccessKey: "key", SecretKey: "hush-4711"})
	file := r.file(t, 5000)
	set := func(options ...string) (args []string) {
		args = []string{"upload", file, "-p", "s3://bucket/k"}
		for _, o := range options {
			args = append(args, "--set", o)
		}
		return args
	}
	keyless := []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}
	for name, c := range map[string]struct {
		env  []string
		args []string
		code int
		out  string
	}{
		"one object":    {nil, []string{"upload", file, "s3_unsent_test.go", "-p", "s3://bucket/k"}, 64, ""},
		"its shards":    {nil, []string{"upload", file, "--shard", "1/2", "-p", "s3://bucket/k"}, 64, ""},
		"acl":           {nil, set("acl=everybody"), 64, ""},
		"tags":          {nil, set("tags=aws:a=b"), 64, ""},
		"metadata":      {nil, set("metadata=a=1,A=2"), 64, ""},
		"owner":         {nil, set("expected-bucket-owner=me"), 64, ""},
		"region":        {nil, set("region=eu/west"), 64, ""},
		"profile":       {nil, set("profile=absent"), 64, ""},
		"AWS_PROFILE":   {[]string{"AWS_PROFILE=absent"}, set(), 77, ""},
		"no keys":       {keyless, set(), 77, ""},
		"a plan's":      {keyless, []string{"plan", file, "-p", "s3://bucket/k"}, 77, ""},
		"list --remote": {keyless, []string{"list", "--remote", "-p", "s3://bucket"}, 77, ""},
		"bucket":        {nil, []string{"upload", file, "-p", "s3://Bucket/k"}, 64, ""},
		"endpoint":      {[]string{"AWS_ENDPOINT_URL_S3=http://store.example"}, set(), 64, ""},
		"one PUT":       {nil, append(set(), "--dry-run", "--jq", `.requests|map(.method+" "+.path)|join(", ")`), 0, "PUT /KEY\n"},
		"multipart":     {nil, append(set("single-put=false"), "--dry-run", "--jq", ".requests|map(.step)|join(\" \")"), 0, "create part complete\n"},
	} {
		out, code := r.multiput(t, c.env, c.args...)
		if code != c.code || out != c.out || strings.Contains(out, "hush") {
			t.Errorf("%s: exit code %d and %q, want %d and %q", name, code, out, c.code, c.out)
		}
	}
	if n := heard.Load(); n > 0 {
		t.Errorf("the store got %d requests", n)
	}
}
