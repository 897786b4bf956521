package s3

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// TestBadOptions checks that a value that no store takes is refused before
// anything is sent, by the name of its option.
func TestBadOptions(t *testing.T) {
	tag := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("t%d=x", i))
		}
		return strings.Join(list, ",")
	}
	for name, values := range map[string][]string{
		"region":                {"", "eu west", "eu/west", "-eu", "x.example"},
		"storage-class":         {"", "STANDARD IA", "A,B", "A/B"},
		"sse":                   {"", "aes", "aws:kms:x"},
		"sse-kms-key-id":        {"", "k"},
		"acl":                   {"", "public", "Private"},
		"metadata":              {"a", "=b", "a=b,a=c", "a=b,A=c", "a b=c", "a=ä", "ä=a", "a=b\r\nx: y", "a,b=c", `{"a":1}`, `{"a":null}`, `{"a":["b"]}`, `{"a":"b"`, `{"a":"b","a":"c"}`, `{"a":"b"}x`, `{"":"b"}`, `["a"]`},
		"tags":                  {"a", "=b", "a=b,a=c", tag(11), "a;=b", "a=b\nc", "a=\xff", "aws:x=b", "AWS:x=b", long(129) + "=b", "a=" + long(257), `{"a":{}}`, `{"a":"b","a":"b"}`},
		"content-disposition":   {"", "a\nb", "ü"},
		"cache-control":         {"", "a\x00", " no-store"},
		"expected-bucket-owner": {"", "1234", "12345678901a", "1234567890123"},
		"requester-pays":        {"", "yes", "1"},
		"if-none-match":         {"", "etag", "**"},
		"checksum":              {"", "md5", "CRC64NVME"},
		"path-style":            {"", "virtual"},
		"single-put":            {"", "0"},
		"resume":                {"", "a\nb"},
		"unknown":               {"x"},
	} {
		for _, value := range values {
			_, _, err := read(map[string]string{name: value})
			var bad *spec.OptionError
			if !errors.As(err, &bad) || bad.Option != name {
				t.Errorf("%s=%q: %v", name, value, err)
			}
		}
	}
	for name, values := range map[string][]string{
		"metadata": {"", "{}", "a=,b=c=d", ` {"a":"b, c","d":""} `},
		"tags":     {"", tag(10), "ü b=c:/@+-=._", long(128) + "=" + long(256), strings.Repeat("ü", 128) + "=x", "a="},
		"region":   {"auto", "RegionOne", "us_1", "eu-central-003"},
	} {
		for _, value := range values {
			if _, _, err := read(map[string]string{name: value}); err != nil {
				t.Errorf("%s=%q: %v", name, value, err)
			}
		}
	}
}

// TestEveryRequest checks that what concerns the bucket is signed into each request,
// also into those that a plan has.
func TestEveryRequest(t *testing.T) {
	s := &scripted{answer: func(*http.Request, string) (int, map[string]string, string) {
		return 200, map[string]string{"ETag": `"e"`}, created
	}}
	p := s.open(t, place{"bucket", "k"}, map[string]string{"expected-bucket-owner": "210987654321", "requester-pays": "true"})
	u, _, err := p.Create(t.Context(), fileOf(100<<20), upload.Hint{})
	if err != nil {
		t.Fatal(err)
	}
	urls, err := p.Presign(t.Context(), u, []upload.Part{{Number: 1, Size: 64 << 20}, {Number: 2, Size: 36 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	end, err := p.SignEnd(t.Context(), u, upload.Digests{})
	if err != nil || len(end) < 2 {
		t.Fatalf("%v, %v", end, err)
	}
	headers := []http.Header{s.asked[0].Header}
	for _, g := range append(slices.Collect(maps.Values(end)), urls...) {
		h := http.Header{}
		for k, v := range g.Header {
			h.Set(k, v)
		}
		headers = append(headers, h)
	}
	for i, h := range headers {
		if h.Get("X-Amz-Expected-Bucket-Owner") != "210987654321" || h.Get("X-Amz-Request-Payer") != "requester" {
			t.Errorf("request %d has %v", i, h)
		}
	}
}

// TestMetadataSize checks the most of metadata, which is that of AWS alone.
func TestMetadataSize(t *testing.T) {
	for _, c := range []struct {
		base  string
		value int
		bad   bool
	}{{"", 2044, false}, {"", 2045, true}, {"https://store.example", 5000, false}} {
		_, err := open(place{bucket: "bucket"}, spec.Settings{Base: c.base, Options: map[string]string{"metadata": "name=" + long(c.value)}}, static("a", "b"))
		var bad *spec.OptionError
		if is := errors.As(err, &bad) && bad.Option == "metadata"; is != c.bad || err != nil && !is {
			t.Errorf("%d bytes for %q: %v", c.value, c.base, err)
		}
	}
}

// TestRegionOfTheUpload takes up an upload on a machine that is configured for
// another region than the one that began it.
func TestRegionOfTheUpload(t *testing.T) {
	in := func(region, base string) *Provider {
		f, _ := static("a", "b")(t.Context(), settings{})
		f.region = region
		p, err := open(place{"bucket", "k"}, spec.Settings{Base: base}, func(context.Context, settings) (found, error) { return f, nil })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for base, want := range map[string]string{"": "https://bucket.s3.eu-south-2.amazonaws.com/k?", "https://store.example": "https://store.example/bucket/k?"} {
		u, _, err := in("eu-south-2", base).Create(t.Context(), fileOf(3), upload.Hint{})
		if err != nil {
			t.Fatal(err)
		}
		urls, err := in("ap-east-1", base).Presign(t.Context(), u, u.Parts)
		if err != nil || !strings.HasPrefix(urls[0].URL, want) {
			t.Fatalf("%+v, %v", urls, err)
		}
		if region := "ap-east-1"; strings.Contains(urls[0].URL, region) != (base != "") {
			t.Errorf("it is signed for the wrong region: %s", urls[0].URL)
		}
	}
}

// TestRegionOfTheConfiguration checks a region that the environment has.
func TestRegionOfTheConfiguration(t *testing.T) {
	find := func(context.Context, settings) (found, error) { return found{region: "evil.example/"}, nil }
	for _, options := range []map[string]string{nil, {"region": "eu-west-1"}} {
		_, err := open(place{bucket: "bucket"}, spec.Settings{Options: options}, find)
		var bad *spec.OptionError
		if is := errors.As(err, &bad); is != (len(options) == 0) {
			t.Errorf("%v: %v", maps.Clone(options), err)
		}
	}
}
