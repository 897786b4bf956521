package s3_test

import (
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/multiput/multiput/pkg/provider/s3"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// Upload a file to a bucket. Base names a store other than AWS; here one that takes
// a single PUT and knows no checksums but its ETags. Credentials come from where the
// AWS SDK finds them.
func Example() {
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := md5.New()
		_, _ = io.Copy(h, r.Body)
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, h.Sum(nil)))
	}))
	defer store.Close()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	credentials, file := filepath.Join(dir, "credentials"), filepath.Join(dir, "report.csv")
	_ = os.WriteFile(credentials, []byte("[example]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = secret\n"), 0o600)
	_ = os.WriteFile(file, []byte("a,b\n1,2\n"), 0o600)
	defer func() { _ = os.Unsetenv("AWS_SHARED_CREDENTIALS_FILE") }()
	_ = os.Setenv("AWS_SHARED_CREDENTIALS_FILE", credentials)

	d, err := s3.Define("s3://my-bucket/reports/")
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := d.Open(spec.Settings{Base: store.URL, Options: map[string]string{"profile": "example", "metadata": "author=Ada"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	u := upload.Uploader{Provider: p, Target: p.Target()}
	report, err := u.Upload(context.Background(), upload.File{Path: file})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Result.Value, report.Verification)
	// Output: s3://my-bucket/reports/report.csv etag
}

// An address that no bucket can have is refused before anything else.
func ExampleDefine() {
	for _, address := range []string{"s3://my-bucket/key", "s3://My_Bucket", "s3://"} {
		if _, err := s3.Define(address); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println("ok")
	}
	// Output:
	// ok
	// s3://My_Bucket: that is not a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens, with a letter or a digit at both ends
	// s3://: it names no bucket: s3://BUCKET or s3://BUCKET/KEY
}
