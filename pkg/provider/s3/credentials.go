package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go/logging"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// found is what the AWS configuration says.
type found struct {
	region          string
	endpoint        string // of another store than AWS; empty: none
	dualStack, fips bool
	credentials     aws.CredentialsProvider
}

// find reads the AWS configuration: the environment and files. Nothing is sent.
func find(ctx context.Context, s settings) (f found, err error) {
	with := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})} // its errors say enough
	if s.region != "" {
		with = append(with, config.WithRegion(s.region))
	}
	if s.profile != "" {
		with = append(with, config.WithSharedConfigProfile(s.profile))
	}
	role := new(machine)
	with = append(with, config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) { o.Client = role }))
	c, err := config.LoadDefaultConfig(ctx, with...)
	role.client.Store(imds.NewFromConfig(c))
	var missing config.SharedConfigProfileNotExistError
	var mfa config.AssumeRoleTokenProviderNotSetError
	switch {
	case errors.As(err, &mfa):
		return f, fmt.Errorf("%s: %w: the role of the profile needs an MFA code, which cannot be entered here: put temporary credentials into the environment (aws configure export-credentials)", title, upload.ErrDenied)
	case errors.As(err, &missing) && missing.Profile == s.profile:
		return f, &spec.OptionError{Provider: title, Option: "profile", Reason: "the AWS configuration has no such profile", Known: options}
	case errors.As(err, &missing):
		return f, fmt.Errorf("%s: %w: the AWS configuration has no profile %q", title, upload.ErrDenied, missing.Profile)
	case err != nil:
		return f, fmt.Errorf("%s: %w: read the AWS configuration: %s", title, upload.ErrDenied, transport.Clean(err.Error()))
	}
	f.region, f.credentials = c.Region, c.Credentials
	ignore := false
	for _, source := range c.ConfigSources {
		if i, ok := source.(interface {
			GetIgnoreConfiguredEndpoints(context.Context) (bool, bool, error)
		}); ok {
			if v, is, err := i.GetIgnoreConfiguredEndpoints(ctx); err == nil && is {
				ignore = v
				break
			}
		}
	}
	for _, source := range c.ConfigSources {
		if e, ok := source.(interface {
			GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
		}); ok && f.endpoint == "" && !ignore {
			if v, is, err := e.GetServiceBaseEndpoint(ctx, "S3"); err == nil && is {
				f.endpoint = v
			}
		}
		if d, ok := source.(interface {
			GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error)
		}); ok && !f.dualStack {
			v, is, err := d.GetUseDualStackEndpoint(ctx)
			f.dualStack = err == nil && is && v == aws.DualStackEndpointStateEnabled
		}
		if d, ok := source.(interface {
			GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
		}); ok && !f.fips {
			v, is, err := d.GetUseFIPSEndpoint(ctx)
			f.fips = err == nil && is && v == aws.FIPSEndpointStateEnabled
		}
	}
	if f.endpoint == "" && c.BaseEndpoint != nil && !ignore {
		f.endpoint = *c.BaseEndpoint
	}
	return f, nil
}

// keys are the credentials of now: those that end soon are renewed. Its error
// wraps upload.ErrDenied.
func (p *Provider) keys(ctx context.Context) (aws.Credentials, error) {
	if err := ctx.Err(); err != nil {
		return aws.Credentials{}, context.Cause(ctx)
	}
	asked, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var c aws.Credentials
	var err error
	if from := p.from(); from != nil {
		c, err = from.Retrieve(asked)
	}
	p.keyless.Store(ctx.Err() == nil && (err != nil || !c.HasKeys() || c.Expired()))
	switch {
	case ctx.Err() != nil:
		return c, context.Cause(ctx)
	case err != nil:
		return c, noKeys(err)
	case !c.HasKeys():
		return c, noKeys(nil)
	case c.Expired():
		return c, expiredKeys(c)
	}
	return c, nil
}

// KeyFrom is where the AWS SDK found the credentials.
func (p *Provider) KeyFrom(ctx context.Context) (string, error) {
	c, err := p.keys(ctx)
	return c.Source, err
}

// from is where credentials come from.
func (p *Provider) from() aws.CredentialsProvider {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.credentials
}

// renewed reports whether there are other credentials than those that signed a URL,
// which the store calls expired. It reads the AWS configuration again: not all of
// them say when they end.
func (p *Provider) renewed(ctx context.Context, signed string) bool {
	u, err := url.Parse(signed)
	if err != nil {
		return false
	}
	other := func() bool {
		c, err := p.keys(ctx)
		return err == nil && c.SessionToken != u.Query().Get("X-Amz-Security-Token")
	}
	if other() {
		return true
	}
	f, err := p.find(ctx, p.set)
	if err != nil {
		return false
	}
	p.mu.Lock()
	p.credentials = f.credentials
	p.mu.Unlock()
	return other()
}

// tokenExpired reports whether a store calls the session token of the credentials
// expired.
func tokenExpired(err error) bool {
	return slices.Contains([]string{"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}, code(err))
}

// Keyless reports whether it looked for credentials and found none.
func (p *Provider) Keyless() bool { return p.keyless.Load() }

// unsigned says that a signature is not over the body: the bytes are compared by
// checksums, and are sent over TLS.
const unsigned = "UNSIGNED-PAYLOAD"

// signed is a request that needs no credentials until it expires.
type signed struct {
	url     string
	header  http.Header
	expires time.Time
}

// sign makes a presigned URL for a request, valid for life or until the
// credentials end.
func (p *Provider) sign(ctx context.Context, of call, now time.Time, life time.Duration) (s signed, err error) {
	c, err := p.keys(ctx)
	if err != nil {
		return s, err
	}
	if c.CanExpire {
		life = min(life, c.Expires.Sub(now))
	}
	life = max(life, time.Second).Truncate(time.Second)
	of.query.Set("X-Amz-Expires", strconv.Itoa(int(life/time.Second)))
	at := p.in(of.region)
	u := at.url(p.place.bucket, of.key, of.query)
	r := &http.Request{Method: of.method, URL: u, Host: hostOf(u), Header: of.header.Clone()}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	for k, vs := range p.set.every {
		r.Header[k] = vs
	}
	s.url, s.header, err = p.signer.PresignHTTP(ctx, c, r, unsigned, "s3", at.region, now)
	if err != nil {
		return s, fmt.Errorf("%s: sign a request: %w", title, err)
	}
	s.header.Del("Host")
	s.expires = now.Add(life)
	return s, nil
}

func (s signed) presigned() upload.Presigned {
	g := upload.Presigned{URL: s.url, Expires: s.expires, Header: map[string]string{}}
	for k := range s.header {
		g.Header[k] = s.header.Get(k)
	}
	return g
}

// signedAs is the reverse of presigned.
func signedAs(g upload.Presigned) signed {
	s := signed{url: g.URL, header: http.Header{}, expires: g.Expires}
	for k, v := range g.Header {
		s.header.Set(k, v)
	}
	return s
}

// hostOf is the Host that is sent: without the scheme's own port.
func hostOf(u *url.URL) string {
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		return u.Hostname()
	}
	return u.Host
}

// newSigner is one that signs every header where it stands: a store may overlook
// it in the query.
func newSigner() *v4.Signer {
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping, o.DisableHeaderHoisting = true, true })
}
