package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

func TestAddress(t *testing.T) {
	for address, want := range map[string]place{
		"s3://my-bucket":          {"my-bucket", ""},
		"s3://my-bucket/":         {"my-bucket", ""},
		"s3://b.c.d/a/b/":         {"b.c.d", "a/b/"},
		"s3://1st/ä key?#x":       {"1st", "ä key?#x"},
		"s3://bucket//twice//":    {"bucket", "/twice//"},
		"s3://bucket/../up":       {"bucket", "../up"},
		"s3://" + long(63) + "/k": {long(63), "k"},
	} {
		if got, err := parse(address); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", address, got, err, want)
		}
	}
	for _, address := range []string{
		"s3://", "s3:///key", "s3://ab", "s3://" + long(64), "s3://Bucket", "s3://under_score", "s3://-dash", "s3://dash-", "s3://a..b",
		"s3://10.0.0.1", "s3://bucket?x", "s3://user@bucket", "s3://bucket/" + long(1025), "s3://bucket/\xff",
	} {
		_, err := Define(address)
		var bad *spec.AddressError
		if !errors.As(err, &bad) || bad.Address != address {
			t.Errorf("%s: %v", address, err)
		}
	}
	d, err := Define(Name)
	if err != nil {
		t.Fatal(err)
	}
	var bad *spec.AddressError
	if _, err := d.Open(spec.Settings{}); !errors.As(err, &bad) {
		t.Errorf("opened without a bucket: %v", err)
	}
}

func long(n int) string { return strings.Repeat("k", n) }

func TestKeyOf(t *testing.T) {
	for _, c := range [][3]string{{"", "f", "f"}, {"a/", "f", "a/f"}, {"a/b", "f", "a/b"}, {"a//", "../f", "a//../f"}} {
		if got := (place{"bucket", c[0]}).keyOf(c[1]); got != c[2] {
			t.Errorf("%q and %q: %q", c[0], c[1], got)
		}
	}
}

func TestURL(t *testing.T) {
	own := store{base: &url.URL{Scheme: "https", Host: "minio.example:9000", Path: "/s3"}, region: "us-east-1"}
	for _, c := range []struct {
		store       store
		bucket, key string
		want        string
	}{
		{awsStore("eu-west-1", "bucket", false, false, false), "bucket", "a b/ü+.bin", "https://bucket.s3.eu-west-1.amazonaws.com/a%20b/%C3%BC%2B.bin"},
		{awsStore("eu-west-1", "with.dots", false, false, false), "with.dots", "k", "https://s3.eu-west-1.amazonaws.com/with.dots/k"},
		{awsStore("us-west-2", "bucket", true, false, true), "bucket", "k", "https://s3.dualstack.us-west-2.amazonaws.com/bucket/k"},
		{awsStore("us-gov-west-1", "bucket", false, true, false), "bucket", "k", "https://bucket.s3-fips.us-gov-west-1.amazonaws.com/k"},
		{awsStore("cn-north-1", "bucket", false, false, false), "bucket", "", "https://bucket.s3.cn-north-1.amazonaws.com.cn/"},
		{own, "bucket", "a/../b//c", "https://minio.example:9000/s3/bucket/a/../b//c"},
		{own, "bucket", "", "https://minio.example:9000/s3/bucket"},
	} {
		if got := c.store.url(c.bucket, c.key, nil).String(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestOptions(t *testing.T) {
	s, own, err := read(map[string]string{
		"metadata": "author=Ada, origin=a=b", "tags": `{"team":"a b","x":""}`, "sse": "aws:kms", "sse-kms-key-id": "arn:k", "acl": "private",
		"storage-class": "STANDARD_IA", "content-disposition": `attachment; filename="x"`, "cache-control": "no-store", "expected-bucket-owner": "123456789012",
		"requester-pays": "true", "if-none-match": "*", "checksum": "etag", "resume": "auto", "region": "eu-north-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"X-Amz-Meta-Author": "Ada", "X-Amz-Meta-Origin": "a=b", "X-Amz-Tagging": "team=a+b&x=", "X-Amz-Server-Side-Encryption": "aws:kms",
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "arn:k", "X-Amz-Acl": "private", "X-Amz-Storage-Class": "STANDARD_IA",
		"Content-Disposition": `attachment; filename="x"`, "Cache-Control": "no-store",
	} {
		if got := s.object.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if s.every.Get("X-Amz-Expected-Bucket-Owner") != "123456789012" || s.every.Get("X-Amz-Request-Payer") != "requester" || len(s.object) != 9 {
		t.Errorf("every request has %v, the object %v", s.every, s.object)
	}
	if !s.ifNoneMatch || s.sum != sumETag || s.resume != "auto" || own[optResume] != nil || own["region"] != "eu-north-1" {
		t.Errorf("%+v, %v", s, own)
	}
}

// scripted is a store that answers as it is told, and keeps what it was asked.
type scripted struct {
	mu     sync.Mutex
	asked  []*http.Request
	bodies []string
	answer func(r *http.Request, body string) (status int, header map[string]string, reply string)
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.bodies = append(s.asked, r), append(s.bodies, string(b))
	status, header, reply := s.answer(r, string(b))
	for k, v := range header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, reply)
}

func (s *scripted) open(t *testing.T, at place, set map[string]string) *Provider {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	p, err := open(at, spec.Settings{Base: server.URL, Options: set, Client: &transport.Client{}}, static("AKIDEXAMPLE", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const created = `<InitiateMultipartUploadResult><UploadId>up-1</UploadId></InitiateMultipartUploadResult>`

func fileOf(size int64) upload.File {
	return upload.File{Path: "/f", Name: "f.bin", Type: "text/csv", Size: size}
}

func TestCreateSendsTheOptions(t *testing.T) {
	s := &scripted{answer: func(*http.Request, string) (int, map[string]string, string) {
		return 200, map[string]string{"x-amz-checksum-algorithm": "CRC64NVME"}, created
	}}
	p := s.open(t, place{"bucket", "dir/"}, map[string]string{"storage-class": "GLACIER", "metadata": "k=v", "expected-bucket-owner": "210987654321"})
	u, _, err := p.Create(t.Context(), fileOf(100<<20), upload.Hint{})
	if err != nil || u.ID != "up-1" || u.Digest != upload.DigestCRC64NVME || !u.Renewable {
		t.Fatalf("%+v, %v", u, err)
	}
	r := s.asked[0]
	if r.Method != "POST" || r.URL.Path != "/bucket/dir/f.bin" || !r.URL.Query().Has("uploads") {
		t.Errorf("%s %s", r.Method, r.URL.Path)
	}
	for name, want := range map[string]string{
		"X-Amz-Storage-Class": "GLACIER", "X-Amz-Meta-K": "v", "X-Amz-Expected-Bucket-Owner": "210987654321", "Content-Type": "text/csv",
		"X-Amz-Checksum-Algorithm": "CRC64NVME", "X-Amz-Checksum-Type": "FULL_OBJECT", "Authorization": "",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
		if signed := r.URL.Query().Get("X-Amz-SignedHeaders"); want != "" && !strings.Contains(";"+signed+";", ";"+strings.ToLower(name)+";") {
			t.Errorf("%s is not signed: %s", name, signed)
		}
	}
}

// TestStoreWithoutTheChecksum creates at stores that say nothing of it, and at
// one that refuses it.
func TestStoreWithoutTheChecksum(t *testing.T) {
	silent := func(*http.Request, string) (int, map[string]string, string) { return 200, nil, created }
	refuses := func(r *http.Request, _ string) (int, map[string]string, string) {
		if r.Header.Get("X-Amz-Checksum-Algorithm") != "" {
			return 501, nil, `<Error><Code>NotImplemented</Code><Message>no such header</Message></Error>`
		}
		return 200, nil, created
	}
	for name, answer := range map[string]func(*http.Request, string) (int, map[string]string, string){"silent": silent, "refuses": refuses} {
		p := (&scripted{answer: answer}).open(t, place{"bucket", "k"}, nil)
		u, _, err := p.Create(t.Context(), fileOf(100<<20), upload.Hint{})
		if err != nil || u.Digest != "" || u.ID != "up-1" {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
		asked := (&scripted{answer: answer}).open(t, place{"bucket", "k"}, map[string]string{"checksum": "crc64nvme"})
		if _, _, err := asked.Create(t.Context(), fileOf(100<<20), upload.Hint{}); !errors.Is(err, upload.ErrRefused) {
			t.Errorf("%s, and it was asked for: %v", name, err)
		}
	}
}

// TestFaults holds that the errors of S3 are in words, and mean what they mean.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		header map[string]string
		body   string
		is     error
		retry  bool
		says   string
		option string
	}{
		{"region", 400, nil, `<Error><Code>AuthorizationQueryParametersError</Code><Message>wrong</Message><Region>eu-west-3</Region></Error>`, upload.ErrRefused, false, "the bucket bucket is in the region eu-west-3, and the request was for us-east-1", "eu-west-3"},
		{"moved", 301, map[string]string{"x-amz-bucket-region": "ap-south-1"}, `<Error><Code>PermanentRedirect</Code></Error>`, upload.ErrRefused, false, "in the region ap-south-1", "ap-south-1"},
		{"skew", 403, map[string]string{"Date": time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)}, `<Error><Code>RequestTimeTooSkewed</Code><Message>x</Message></Error>`, upload.ErrDenied, false, "it is 1h0m", ""},
		{"skew in the body", 403, nil, `<Error><Code>RequestTimeTooSkewed</Code><Message>x</Message><ServerTime>` + time.Now().Add(3*time.Hour+30*time.Second).UTC().Format(time.RFC3339) + `</ServerTime></Error>`, upload.ErrDenied, false, "(it is 3h0m", ""},
		{"no skew that is known", 403, nil, `<Error><Code>RequestTimeTooSkewed</Code><Message>x</Message></Error>`, upload.ErrDenied, false, "differs from the store's, which", ""},
		{"signed in the future", 403, map[string]string{"Date": time.Now().Add(-2 * time.Hour).UTC().Format(http.TimeFormat)}, `<Error><Code>AccessDenied</Code><Message>Request is not valid yet</Message></Error>`, upload.ErrDenied, false, "(it is 2h0m", ""},
		{"signed now and expired", 403, nil, `<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`, upload.ErrDenied, false, "set the clock", ""},
		{"region in words", 400, nil, `<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-central-1'</Message></Error>`, upload.ErrRefused, false, "in the region eu-central-1", "eu-central-1"},
		{"region in words of versitygw", 400, nil, `<Error><Code>AuthorizationQueryParametersError</Code><Message>Error parsing the X-Amz-Credential parameter; the region "us-east-1" is wrong; expecting "eu-west-1"</Message></Error>`, upload.ErrRefused, false, "in the region eu-west-1", "eu-west-1"},
		{"page that forbids", 403, nil, `<html>Forbidden</html>`, upload.ErrDenied, false, "on s3://bucket/k: Forbidden (status 403): is this the ", ""},
		{"region of the endpoint", 301, nil, `<Error><Code>PermanentRedirect</Code><Endpoint>bucket.s3-ap-northeast-3.amazonaws.com</Endpoint></Error>`, upload.ErrRefused, false, "in the region ap-northeast-3", "ap-northeast-3"},
		{"region of the location", 307, map[string]string{"Location": "https://bucket.s3.dualstack.me-central-1.amazonaws.com/k?uploads"}, `<Error><Code>TemporaryRedirect</Code></Error>`, upload.ErrRefused, false, "in the region me-central-1", "me-central-1"},
		{"region of a constraint", 400, nil, `<Error><Code>IllegalLocationConstraintException</Code><Message>The af-south-1 location constraint is incompatible for the region specific endpoint this request was sent to.</Message></Error>`, upload.ErrRefused, false, "in the region af-south-1", "af-south-1"},
		{"redirect elsewhere", 301, nil, `<Error><Code>PermanentRedirect</Code><Endpoint>bucket.s3.amazonaws.com</Endpoint></Error>`, upload.ErrReply, false, "bucket.s3.amazonaws.com", ""},
		{"action of another service", 403, nil, `<Error><Code>AccessDenied</Code><Message>User: u is not authorized to perform: kms:GenerateDataKey on resource: key</Message></Error>`, upload.ErrDenied, false, "create the upload: User: u is not authorized to perform: kms:GenerateDataKey", ""},
		{"no in a yes", 200, nil, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`, upload.ErrDenied, false, "does not allow s3:PutObject", ""},
		{"token expired", 400, nil, `<Error><Code>ExpiredToken</Code><Message>x</Message></Error>`, upload.ErrDenied, false, "the credentials have expired", ""},
		{"token", 400, nil, `<Error><Code>InvalidToken</Code><Message>x</Message></Error>`, upload.ErrDenied, false, "session token", ""},
		{"bucket", 404, nil, `<Error><Code>NoSuchBucket</Code><Message>x</Message></Error>`, upload.ErrRefused, false, "there is no bucket bucket", ""},
		{"denied", 403, nil, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`, upload.ErrDenied, false, "does not allow s3:PutObject on s3://bucket/k", ""},
		{"slow", 503, nil, `<Error><Code>SlowDown</Code><Message>x</Message></Error>`, nil, true, "limits the request rate", ""},
		{"lock", 400, nil, `<Error><Code>InvalidRequest</Code><Message>Content-MD5 is required with Object Lock parameters</Message></Error>`, upload.ErrRefused, false, "Object Lock", "crc64nvme"},
		{"lock elsewhere", 400, nil, `<Error><Code>InvalidRequest</Code><Message>Bucket is missing Object Lock Configuration</Message></Error>`, upload.ErrRefused, false, "upload: Bucket is missing Object Lock Configuration", ""},
		{"KMS key", 400, nil, `<Error><Code>KMS.NotFoundException</Code><Message>Invalid keyId</Message></Error>`, upload.ErrRefused, false, "there is no such KMS key (sse-kms-key-id, or the default of the bucket): Invalid keyId", ""},
		{"quota", 403, nil, `<Error><Code>QuotaExceeded</Code><Message>x</Message></Error>`, upload.ErrRefused, false, "the store's quota is used up: x", ""},
		{"owner", 403, nil, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`, upload.ErrDenied, false, "on s3://bucket/k, or the bucket is not of the account 123456789012: Access Denied", ""},
		{"web page", 404, nil, `<html>not found</html>`, upload.ErrRefused, false, "is this the URL of an S3 store?", ""},
		{"page of a proxy", 502, nil, "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>", nil, true, "create the upload: 502 Bad Gateway (status 502)", ""},
		{"page that denies", 403, nil, "<html><body><p>The virus scanner forbids it.</p></body></html>", upload.ErrDenied, false, "does not allow s3:PutObject on s3://bucket/k: The virus scanner forbids it.", ""},
		{"small", 400, nil, `<Error><Code>EntityTooSmall</Code><Message>x</Message></Error>`, upload.ErrRefused, false, "only the last may have less than", ""},
		{"key", 403, nil, `<Error><Code>InvalidAccessKeyId</Code><Message>x</Message></Error>`, upload.ErrDenied, false, "does not know the access key", ""},
		{"key of versitygw", 404, nil, `<Error><Code>XAdminUserNotFound</Code><Message>x</Message></Error>`, upload.ErrDenied, false, "does not know the access key", ""},
		{"page for yes", 200, nil, `<html>welcome</html>`, upload.ErrReply, false, "is this the URL of an S3 store?", ""},
		{"error in a yes", 200, nil, `<Error><Code>InternalError</Code><Message>Please try again</Message></Error>`, nil, true, "Please try again", ""},
	} {
		s := &scripted{answer: func(*http.Request, string) (int, map[string]string, string) { return c.status, c.header, c.body }}
		set := map[string]string{"checksum": "etag"}
		if c.name == "owner" {
			set["expected-bucket-owner"] = "123456789012"
		}
		p := s.open(t, place{"bucket", "k"}, set)
		_, _, err := p.Create(t.Context(), fileOf(100<<20), upload.Hint{})
		var passing upload.Temporary
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		} else if retry := errors.As(err, &passing) && passing.Temporary(); retry != c.retry {
			t.Errorf("%s: retry is %t: %v", c.name, retry, err)
		}
		var hint interface{ OptionHint() (string, string) }
		if option := ""; errors.As(err, &hint) {
			if _, option = hint.OptionHint(); option != c.option {
				t.Errorf("%s: the hint is %q", c.name, option)
			}
		}
		if err != nil && (strings.Contains(err.Error(), "AKIDEXAMPLE") || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s shows what is secret: %v", c.name, err)
		}
	}
}

func TestSinglePut(t *testing.T) {
	body := []byte("123456789")
	sum := base64.StdEncoding.EncodeToString([]byte{0xae, 0x8b, 0x14, 0x86, 0x0a, 0x79, 0x98, 0x88})
	s := &scripted{answer: func(r *http.Request, _ string) (int, map[string]string, string) {
		return 200, map[string]string{"ETag": `"e"`, "x-amz-version-id": "v7", "x-amz-checksum-crc64nvme": r.Header.Get("x-amz-checksum-crc64nvme")}, ""
	}}
	p := s.open(t, place{"bucket", ""}, map[string]string{"tags": "a=b"})
	u, _, err := p.Create(t.Context(), fileOf(int64(len(body))), upload.Hint{})
	if err != nil || len(s.asked) != 0 {
		t.Fatalf("%v, %d requests", err, len(s.asked))
	}
	gs, err := p.Presign(t.Context(), u, u.Parts)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Put(t.Context(), u, gs[0], u.Parts[0], bytes.NewReader(body))
	if err != nil || !r.Verified || r.VerifiedBy != upload.DigestCRC64NVME || r.ETag != `"e"` || r.CRC64NVME != 0xae8b14860a799888 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := s.asked[0].Header; got.Get("X-Amz-Checksum-Crc64nvme") != sum || got.Get("X-Amz-Tagging") != "a=b" || s.bodies[0] != string(body) {
		t.Errorf("sent %v, %q", got, s.bodies[0])
	}
	done, err := p.Complete(t.Context(), u, []upload.Receipt{r}, upload.Digests{})
	if err != nil || done.Value != "s3://bucket/f.bin" || !strings.Contains(string(done.Reply), `"version_id":"v7"`) || !strings.Contains(string(done.Reply), sum) {
		t.Errorf("%s, %s, %v", done.Value, done.Reply, err)
	}
	if len(s.asked) != 1 {
		t.Errorf("%d requests, want 1", len(s.asked))
	}
	s.answer = func(*http.Request, string) (int, map[string]string, string) { return 200, nil, `{"ok":true}` }
	if _, err := p.Put(t.Context(), u, gs[0], u.Parts[0], bytes.NewReader(body)); !errors.Is(err, upload.ErrReply) || !strings.Contains(err.Error(), "of an S3 store?") {
		t.Errorf("an answer without an ETag: %v", err)
	}
}

// TestNotOverwriting: what is there is left alone, but for what an earlier try
// of the same upload stored.
func TestNotOverwriting(t *testing.T) {
	lost, busy := false, false
	s := &scripted{}
	s.answer = func(r *http.Request, _ string) (int, map[string]string, string) {
		switch {
		case r.Method == http.MethodHead && busy:
			return 503, nil, ""
		case r.Method == http.MethodHead:
			return 200, map[string]string{"ETag": `"e"`, "Content-Length": "9", "Last-Modified": time.Now().UTC().Format(http.TimeFormat), "x-amz-checksum-crc64nvme": "rosUhgp5mIg="}, ""
		case r.Header.Get("If-None-Match") != "*":
			t.Errorf("%s without If-None-Match", r.Method)
		case lost:
			lost = false
			return 500, nil, ""
		}
		return 412, nil, `<Error><Code>PreconditionFailed</Code><Message>x</Message></Error>`
	}
	for _, first := range []bool{false, true} {
		p := s.open(t, place{"bucket", "k"}, map[string]string{"if-none-match": "*"})
		u, _, err := p.Create(t.Context(), fileOf(9), upload.Hint{})
		if err != nil {
			t.Fatal(err)
		}
		put := func() error {
			_, err := p.Put(t.Context(), u, upload.Presigned{}, u.Parts[0], strings.NewReader("123456789"))
			return err
		}
		if lost = first; lost {
			if err := put(); err == nil {
				t.Fatal("a 500 is no error")
			}
			busy = true
			if err := put(); !mayPass(err) {
				t.Errorf("whose the object is cannot be found out now: %v", err)
			}
			busy = false
		}
		if err := put(); (err == nil) != first || err != nil && (!errors.Is(err, upload.ErrRefused) || !strings.Contains(err.Error(), "s3://bucket/k exists already")) {
			t.Errorf("after a lost answer: %t: %v", first, err)
		}
	}
}

// TestNoCredentials says where it looked, and sends nothing.
func TestNoCredentials(t *testing.T) {
	s := &scripted{}
	p := s.open(t, place{"bucket", "k"}, nil)
	for _, c := range []aws.CredentialsProvider{
		nil,
		aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("process provider error: exit status 3")
		}),
	} {
		p.credentials = c
		for _, size := range []int64{1, 100 << 20} {
			_, _, err := p.Create(t.Context(), fileOf(size), upload.Hint{})
			if !errors.Is(err, upload.ErrDenied) || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
				t.Errorf("%v", err)
			}
		}
	}
	if len(s.asked) != 0 {
		t.Errorf("%d requests were sent", len(s.asked))
	}
}

// TestCredentialsThatEnd: each request is signed with those of the moment, and a
// URL lives no longer than they do.
func TestCredentialsThatEnd(t *testing.T) {
	s := &scripted{answer: func(*http.Request, string) (int, map[string]string, string) { return 200, nil, created }}
	p := s.open(t, place{"bucket", "k"}, map[string]string{"checksum": "etag"})
	n := 0
	p.credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		n++
		return aws.Credentials{AccessKeyID: fmt.Sprintf("KEY%d", n), SecretAccessKey: "s", SessionToken: "token", CanExpire: true, Expires: time.Now().Add(time.Minute)}, nil
	})
	u, _, err := p.Create(t.Context(), fileOf(100<<20), upload.Hint{})
	if err != nil {
		t.Fatal(err)
	}
	gs, err := p.Presign(t.Context(), u, []upload.Part{{Number: 1, Size: 64 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(gs[0].Expires); left > time.Minute || left < 50*time.Second {
		t.Errorf("the URL ends in %s", left)
	}
	if q := s.asked[0].URL.Query(); !strings.HasPrefix(q.Get("X-Amz-Credential"), "KEY1/") || q.Get("X-Amz-Security-Token") != "token" {
		t.Errorf("signed with %v", q)
	}
	if !strings.Contains(gs[0].URL, "KEY2") {
		t.Errorf("the part was not signed with new credentials")
	}
}

// TestTokenThatTheStoreEnds: a store reports a session token as expired whose end was
// not known. The AWS configuration is read again: if it has another token, the request
// is sent again, else the credentials have expired.
func TestTokenThatTheStoreEnds(t *testing.T) {
	for _, last := range []string{"1", "2"} {
		s := &scripted{answer: func(r *http.Request, _ string) (int, map[string]string, string) {
			if r.URL.Query().Get("X-Amz-Security-Token") != "2" {
				return 400, nil, `<Error><Code>ExpiredToken</Code><Message>x</Message></Error>`
			}
			return 200, map[string]string{"ETag": `"e"`}, created
		}}
		open := func() *Provider {
			p := s.open(t, place{"bucket", "k"}, nil)
			use := func(token string) (found, error) {
				return found{credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b", SessionToken: token}, nil
				})}, nil
			}
			f, _ := use("1")
			p.credentials = f.credentials
			p.find = func(context.Context, settings) (found, error) { return use(last) }
			return p
		}
		again := last == "2"
		_, _, err := open().Create(t.Context(), fileOf(100<<20), upload.Hint{})
		var passing upload.Temporary
		if retry := errors.As(err, &passing) && passing.Temporary(); retry != again || errors.Is(err, upload.ErrDenied) == again {
			t.Errorf("create, with %s: %v", last, err)
		}
		p := open()
		u, _, err := p.Create(t.Context(), fileOf(3), upload.Hint{})
		if err != nil {
			t.Fatal(err)
		}
		gs, err := p.Presign(t.Context(), u, u.Parts)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Put(t.Context(), u, gs[0], u.Parts[0], strings.NewReader("abc"))
		if errors.Is(err, upload.ErrExpired) != again || errors.Is(err, upload.ErrDenied) == again {
			t.Errorf("part, with %s: %v", last, err)
		}
		if _, err = p.Put(t.Context(), u, gs[0], u.Parts[0], strings.NewReader("abc")); (err == nil) != again {
			t.Errorf("part again, with %s: %v", last, err)
		}
	}
}

// TestCompletedBefore: complete is sent again after its answer was lost.
func TestCompletedBefore(t *testing.T) {
	tag, status := "", 200
	s := &scripted{}
	s.answer = func(r *http.Request, _ string) (int, map[string]string, string) {
		if r.Method == http.MethodHead {
			return status, map[string]string{"ETag": tag, "Content-Length": "12000000"}, ""
		}
		return 404, nil, `<Error><Code>NoSuchUpload</Code><Message>x</Message></Error>`
	}
	p := s.open(t, place{"bucket", "k"}, map[string]string{"checksum": "etag"})
	u := upload.Upload{ID: "up", File: fileOf(12_000_000), Data: []byte(`{"id":"up","key":"k","began":"2026-11-28T00:00:00Z"}`), Parts: make([]upload.Part, 2)}
	rs := []upload.Receipt{{Part: 1, Value: `"d41d8cd98f00b204e9800998ecf8427e"`}, {Part: 2, Value: `"900150983cd24fb0d6963f7d28e17f72"`}}
	tag = `"` + joinedETag(rs) + `"`
	if r, err := p.Complete(t.Context(), u, rs, upload.Digests{}); err != nil || r.Value != "s3://bucket/k" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, status = range []int{503, 403} { // to a 403 more would not be known later
		if _, err := p.Complete(t.Context(), u, rs, upload.Digests{}); mayPass(err) != (status == 503) || errors.Is(err, upload.ErrGone) != (status == 403) {
			t.Errorf("the object cannot be looked at (%d): %v", status, err)
		}
	}
	status = 200
	tag = `"another-2"`
	if r, err := p.Complete(t.Context(), u, rs, upload.Digests{}); !errors.Is(err, upload.ErrGone) {
		t.Errorf("another object is taken for it: %+v, %v", r, err)
	}
	if _, err := p.Complete(t.Context(), u, rs[:1], upload.Digests{}); !errors.Is(err, upload.ErrRefused) {
		t.Errorf("completes without a part: %v", err)
	}
}

// TestAbortGone: an upload that is gone was aborted, unless the object is there that it
// was to become.
func TestAbortGone(t *testing.T) {
	header, busy := map[string]string{}, false
	s := &scripted{}
	lenient := false // as MinIO, which aborts what it does not have
	s.answer = func(r *http.Request, _ string) (int, map[string]string, string) {
		switch {
		case r.Method == http.MethodHead && busy:
			return 503, nil, ""
		case r.Method == http.MethodHead && header != nil:
			return 200, header, ""
		case r.Method == http.MethodDelete && lenient:
			return 204, nil, ""
		}
		return 404, nil, `<Error><Code>NoSuchUpload</Code><Message>x</Message></Error>`
	}
	p := s.open(t, place{"bucket", "k"}, nil)
	u := upload.Upload{ID: "up", File: fileOf(12_000_000), Data: []byte(`{"id":"up","key":"k","began":"2026-11-28T01:00:00.5Z"}`), Parts: make([]upload.Part, 2)}
	for _, c := range []struct {
		header map[string]string
		want   error
	}{
		{nil, nil},
		{map[string]string{"Content-Length": "12000000", "Last-Modified": "Sat, 28 Nov 2026 01:00:00 GMT"}, upload.ErrCompleted},
		{map[string]string{"Content-Length": "12000000", "Last-Modified": "Sat, 28 Nov 2026 00:59:59 GMT"}, nil}, // what was to be replaced
		{map[string]string{"Content-Length": "12000001", "Last-Modified": "Sat, 28 Nov 2026 02:00:00 GMT"}, nil},
	} {
		header = c.header
		for _, lenient = range []bool{false, true} {
			u.Planned = lenient
			if err := p.Abort(t.Context(), u); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%v: %v, want %v", c.header, err, c.want)
			}
		}
	}
	if busy = true; !mayPass(p.Abort(t.Context(), u)) {
		t.Error("aborted, although it is not known now whether it was completed")
	}
}

// TestIdentity: the same command finds the same upload, and what has nothing to
// do with where the file goes does not count.
func TestIdentity(t *testing.T) {
	at := func(set map[string]string, f found) upload.Target {
		p, err := open(place{"bucket", "a/"}, spec.Settings{Options: set}, func(context.Context, settings) (found, error) { return f, nil })
		if err != nil {
			t.Fatal(err)
		}
		return p.Target()
	}
	if got := at(nil, found{region: "eu-west-1"}); got.Provider != "s3://bucket/a/" || got.Base != "" || got.Options != nil {
		t.Errorf("%+v", got)
	}
	if got := at(map[string]string{"resume": "auto"}, found{}); got.Options != nil {
		t.Errorf("resume is part of %+v", got)
	}
	if got := at(nil, found{endpoint: "https://R2.example/"}); got.Base != "https://r2.example" {
		t.Errorf("%+v", got)
	}
	set := map[string]string{"endpoint": "http://store.example"}
	var bad *spec.OptionError
	if _, err := open(place{"bucket", ""}, spec.Settings{Options: set}, static("", "")); !errors.As(err, &bad) || bad.Option != "endpoint" {
		t.Errorf("plain http: %v", err)
	}
	var base *spec.BaseError
	if _, err := open(place{"bucket", ""}, spec.Settings{Base: "ftp://x"}, static("", "")); !errors.As(err, &base) {
		t.Errorf("ftp: %v", err)
	}
}
