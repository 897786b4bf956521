package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/multiput/multiput/pkg/provider/storeerr"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// call is one request that is about to be made.
type call struct {
	what    string // for people: "create the upload"
	action  string // the permission that it needs
	method  string
	key     string // empty: of the bucket
	region  string // of the upload; empty: that of the Provider
	query   url.Values
	header  http.Header
	body    []byte
	slow    bool   // whether the answer may take minutes
	created bool   // whether there is an upload, which can be gone
	fresh   bool   // whether it is signed now, not by a plan
	step    string // its name among those that are presigned for others; empty: it is not one
}

// callLife is how long a request may wait until it is sent, with its signature.
const callLife = 15 * time.Minute

// do makes a request of its own signature. The reply is a success; else the
// error says what it is.
func (p *Provider) do(ctx context.Context, c call) (*transport.Reply, error) {
	if c.query == nil {
		c.query = url.Values{}
	}
	if c.header == nil {
		c.header = http.Header{}
	}
	s, fresh, err := p.signCall(ctx, c)
	if err != nil {
		return nil, &unsent{err}
	}
	c.fresh = fresh
	r := transport.Request{Op: title + ": " + c.what, Method: c.method, URL: s.url, Header: s.header, Signed: true, Slow: c.slow}
	if c.body != nil {
		r.Body, r.Size = bytes.NewReader(c.body), int64(len(c.body))
	}
	a, err := p.exchange(ctx, r, c)
	if c.fresh && tokenExpired(err) && p.renewed(ctx, r.URL) {
		x := errorOf(err)
		x.Retry = true // which signs it again
		return nil, x
	}
	return a, err
}

// signCall signs a request, unless that was done before: fresh says that it did.
func (p *Provider) signCall(ctx context.Context, c call) (s signed, fresh bool, err error) {
	given, is := p.signed[c.step]
	late := is && !given.Expires.IsZero() && !time.Now().Before(given.Expires)
	if is && !late {
		return signedAs(given), false, nil
	}
	if s, err = p.sign(ctx, c, time.Now(), callLife); err != nil && late && p.Keyless() {
		err = fmt.Errorf("%s: %s: %w", title, c.what, upload.ErrExpired)
	}
	return s, true, err
}

// exchange makes a request that is signed.
func (p *Provider) exchange(ctx context.Context, r transport.Request, c call) (*transport.Reply, error) {
	a, err := p.client.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	p.clock.Hear(a)
	if x := storeerr.Read(a.Body); a.Status >= 300 || x != nil {
		return a, p.fault(a, x, c)
	}
	return a, nil
}

// parseReply reads the XML of a success.
func parseReply(a *transport.Reply, what string, v any) error {
	if err := xml.NewDecoder(io.LimitReader(bytes.NewReader(a.Body), transport.MaxReply)).Decode(v); err != nil {
		return &unusable{title + ": " + what, "the answer is not S3's: is this the URL of an S3 store?"}
	}
	return nil
}

// unsent is an error that was found before anything was sent.
type unsent struct{ error }

func (e *unsent) Unwrap() []error { return []error{upload.ErrUnsent, e.error} }

// unusable is a success that cannot be used. It wraps upload.ErrReply.
type unusable struct{ op, reason string }

func (e *unusable) Error() string { return fmt.Sprintf("%s: %v: %s", e.op, upload.ErrReply, e.reason) }
func (e *unusable) Unwrap() error { return upload.ErrReply }

// failure is an exchange that failed, with what it means. It reads as the
// exchange alone.
type failure struct {
	means error // a sentinel of package upload
	err   *transport.Error
	// option, if set to value, would have it succeed.
	option, value string
}

func (f *failure) Error() string   { return f.err.Error() }
func (f *failure) Unwrap() []error { return []error{f.means, f.err} }

// OptionHint is the option that has to be set, and to what; empty: none.
func (f *failure) OptionHint() (name, value string) { return f.option, f.value }

// code is the store's word for what an error is; empty: none.
func code(err error) string {
	if e := errorOf(err); e != nil {
		return e.Code
	}
	return ""
}
