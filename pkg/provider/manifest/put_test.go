package manifest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// created is an upload of the whole manifest, without a request.
func created(parts ...upload.Part) upload.Upload {
	return upload.Upload{ID: "u1", File: file, Parts: parts, Data: []byte(`{"upload":{"id":"u1"}}`)}
}

// breaking is the address of a server that breaks every connection over which
// something comes.
func breaking(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestPutToABrokenConnection(t *testing.T) {
	p, _ := serve(t, mustParse(t, []byte(whole)), kind, answerWith(500, ""))
	part := upload.Part{Number: 1, Size: 10}
	address := breaking(t)
	signedAt := func(at time.Time) string {
		return address + "/p?X-Amz-Expires=60&X-Amz-Signature=abc&X-Amz-Date=" + at.UTC().Format("20060102T150405Z")
	}
	now := time.Now()
	for name, c := range map[string]struct {
		g       upload.Presigned
		expired bool
	}{
		"a URL that is past its end":              {upload.Presigned{URL: signedAt(now.Add(-time.Hour))}, true},
		"a URL that is not":                       {upload.Presigned{URL: signedAt(now)}, false},
		"a URL of Azure past its end":             {upload.Presigned{URL: address + "/p?sig=x&se=2026-01-01T00%3A00%3A00Z"}, true},
		"a presigned URL past its end":            {upload.Presigned{URL: address + "/p", Expires: now.Add(-time.Second)}, true},
		"a presigned URL that is not":             {upload.Presigned{URL: address + "/p", Expires: now.Add(time.Hour)}, false},
		"a URL that knows better":                 {upload.Presigned{URL: signedAt(now), Expires: now.Add(-time.Second)}, false},
		"a presigned URL without an end":          {upload.Presigned{URL: address + "/p"}, false},
		"a presigned URL past its end to nowhere": {upload.Presigned{URL: "http://127.0.0.1:1/p", Expires: now.Add(-time.Second)}, false},
	} {
		_, err := p.Put(t.Context(), created(part), c.g, part, strings.NewReader("0123456789"))
		var e *transport.Error
		var passing upload.Temporary
		if !errors.As(err, &e) || e.Status != 0 || errors.Is(err, upload.ErrExpired) != c.expired || !errors.As(err, &passing) || !passing.Temporary() {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "abc") {
			t.Errorf("shows a signature: %v", err)
		}
	}
}

func TestPutBodyThatFails(t *testing.T) {
	sent := errors.New("the file is gone")
	for _, form := range []bool{false, true} {
		m := mustParse(t, []byte(whole))
		if form {
			m = mustParse(t, edit(t, "  send: PUT\n", "  send: POST\n  form: data\n"))
		}
		p, server := serve(t, m, kind, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				t.Error("a part whose bytes ended early arrived whole")
			}
		})
		part := upload.Part{Number: 1, Size: 1 << 20}
		g := upload.Presigned{Part: 1, URL: server + "/p"}
		body := io.MultiReader(strings.NewReader("01234"), iotest.ErrReader(sent))
		if _, err := p.Put(t.Context(), created(part), g, part, body); !errors.Is(err, sent) {
			t.Errorf("form %v: %v", form, err)
		}
		if _, err := p.Put(t.Context(), created(part), g, part, strings.NewReader("01234")); err == nil {
			t.Errorf("form %v: a body that is too short was sent", form)
		}
	}
}

// zeros is a part without end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestPutIsNotBuffered(t *testing.T) {
	const size = 64 << 20
	for _, form := range []string{"", "  form: data\n"} {
		m := mustParse(t, edit(t, "  send: PUT\n", "  send: POST\n"+form))
		var got int64
		p, server := serve(t, m, kind, func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil || n != r.ContentLength {
				t.Errorf("got %d of %d bytes, %v", n, r.ContentLength, err)
			}
			got = n
			w.Header().Set("ETag", `"e"`)
		})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		part := upload.Part{Number: 1, Size: size}
		r, err := p.Put(t.Context(), created(part), upload.Presigned{Part: 1, URL: server + "/p"}, part, zeros{})
		runtime.ReadMemStats(&after)
		if err != nil || r.Value != `"e"` || got < size || form != "" && got > size+1000 {
			t.Errorf("sent %d bytes: %+v, %v", got, r, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > size/4 {
			t.Errorf("%q: allocated %d MiB", form, used>>20)
		}
	}
}

func TestPutFormNames(t *testing.T) {
	m := mustParse(t, edit(t, "  send: PUT\n", "  send: POST\n  form: data\n"))
	for _, name := range []string{"a.bin", `a"b\c.bin`, "é \u200b.bin", "a\r\nX-Evil: 1.bin", ""} {
		p, server := serve(t, m, kind, func(w http.ResponseWriter, r *http.Request) {
			reader, err := r.MultipartReader()
			if err != nil {
				t.Error(err)
				return
			}
			field, err := reader.NextPart()
			if err != nil || field.FormName() != "data" || field.Header.Get("X-Evil") != "" || len(field.Header) != 2 {
				t.Errorf("%q: %v, %v", name, field, err)
				return
			}
			_, _ = io.Copy(io.Discard, field)
			w.Header().Set("ETag", `"e"`)
		})
		u := created(upload.Part{Number: 1, Size: 3})
		u.File.Name = name
		if _, err := p.Put(t.Context(), u, upload.Presigned{Part: 1, URL: server + "/p"}, u.Parts[0], strings.NewReader("abc")); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPutHeaders(t *testing.T) {
	var got http.Header
	p, server := serve(t, mustParse(t, []byte(whole)), kind, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"e"`)
	})
	part := upload.Part{Number: 1, Size: 3}
	g := upload.Presigned{Part: 1, URL: server + "/p", Header: map[string]string{"Content-Md5": "abc=", "X-Kind": "page"}}
	if _, err := p.Put(t.Context(), created(part), g, part, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	want := http.Header{"Content-Length": {"3"}, "Content-Md5": {"abc="}, "X-Kind": {"page"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

// TestReceipts has stores and APIs answer with odd proofs.
func TestReceipts(t *testing.T) {
	for _, c := range []struct {
		receipt, etag, body string
		want                upload.Receipt
		text                string
	}{
		{"$header.etag", `W/"x"`, "", upload.Receipt{Part: 1, Value: `W/"x"`, ETag: `W/"x"`}, ""},
		{".id", `"x"`, `{"id":12}`, upload.Receipt{Part: 1, Value: "12", ETag: `"x"`}, ""},
		{".id", `"x"`, `{"id":9007199254740993}`, upload.Receipt{Part: 1, Value: "9007199254740993", ETag: `"x"`}, ""},
		{".id", "", `{"id":{}}`, upload.Receipt{}, "the receipt is {}"},
		{".id", "", `{"id":"a\nb"}`, upload.Receipt{}, "the receipt is"},
		{".id", "", `<html>`, upload.Receipt{}, "expected an object but got: string"},
		{".id", "", ``, upload.Receipt{}, "has no proof that the part is stored"},
		{`capture("id=(?<id>[0-9]+)").id`, "", "id=17 ", upload.Receipt{Part: 1, Value: "17"}, ""},
		{".id", `"x"`, `[]`, upload.Receipt{}, "expected an object"},
		{".id", "", `{"ID":1}`, upload.Receipt{}, "has no proof that the part is stored: .id yields null"},
		{"$header.etag", "", "", upload.Receipt{}, "the store sent no ETag"},
		{`$header["x-part-token"]`, `"x"`, "", upload.Receipt{}, "(status 200, nothing) has no x-part-token header"},
		{`$header . "x-token" | ltrimstr("v1-")`, `"x"`, "{}", upload.Receipt{}, "has no x-token header"},
		{`$header["x-a"] // $header.etag`, "", "", upload.Receipt{}, "has no x-a or ETag header"},
		{`$header["x-a"] // $header.etag`, `"x"`, "", upload.Receipt{Part: 1, Value: `"x"`, ETag: `"x"`}, ""},
		{`$header.etag + "/" + ($status | tostring) + "/" + ($part.number | tostring) + $file.name`, "x", "", upload.Receipt{Part: 1, Value: "x/200/1a.bin", ETag: "x", Own: true}, ""},
	} {
		m := mustParse(t, edit(t, "receipt: $header.etag", "receipt: '"+c.receipt+"'"))
		p, server := serve(t, m, kind, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if c.etag != "" {
				w.Header()["Etag"] = []string{c.etag}
			}
			_, _ = io.WriteString(w, c.body)
		})
		part := upload.Part{Number: 1, Size: 3}
		r, err := p.Put(t.Context(), created(part), upload.Presigned{Part: 1, URL: server + "/p"}, part, strings.NewReader("abc"))
		var passing upload.Temporary
		switch {
		case c.text == "" && (err != nil || fmt.Sprint(r) != fmt.Sprint(c.want)):
			t.Errorf("%s of %q %q: %+v, %v", c.receipt, c.etag, c.body, r, err)
		case c.text != "" && (!errors.Is(err, upload.ErrReply) || !errors.As(err, &passing) || !passing.Temporary() || transport.MostTries(err) != 3 || !strings.Contains(err.Error(), c.text)):
			t.Errorf("%s of %q %q: %v", c.receipt, c.etag, c.body, err)
		}
	}
}

// TestPutOfManyParts shows that the request of one part does not cost more the
// more parts there are.
func TestPutOfManyParts(t *testing.T) {
	p, server := serve(t, mustParse(t, []byte(whole)), kind, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"e"`)
	})
	u := created()
	for n := range 10_000 {
		u.Parts = append(u.Parts, upload.Part{Number: n + 1, Offset: int64(n), Size: 1})
	}
	part := u.Parts[5000]
	allocated := testing.AllocsPerRun(3, func() {
		_, err := p.Put(t.Context(), u, upload.Presigned{Part: part.Number, URL: server + "/p"}, part, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
	})
	if allocated > 5000 {
		t.Errorf("one part of 10,000 took %.0f allocations", allocated)
	}
}

// TestPresignOfManyParts shows the same of the request for one presigned URL.
func TestPresignOfManyParts(t *testing.T) {
	m := mustParse(t, []byte(strings.Replace(whole, "  urls: '.parts[] | {number, url}'\npart:", "  max: 1\n  urls: .url\npart:", 1)))
	p, _ := serve(t, m, kind, answerWith(200, `{"url":"https://store.example/p"}`))
	u := created()
	for n := range 10_000 {
		u.Parts = append(u.Parts, upload.Part{Number: n + 1, Offset: int64(n), Size: 1})
	}
	allocated := testing.AllocsPerRun(3, func() {
		if urls, err := p.Presign(t.Context(), u, u.Parts[5000:5001]); err != nil || len(urls) != 1 {
			t.Fatal(urls, err)
		}
	})
	if allocated > 5000 {
		t.Errorf("the URL of one part of 10,000 took %.0f allocations", allocated)
	}
}
