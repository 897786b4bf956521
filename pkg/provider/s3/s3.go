package s3

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

const title = "S3"

// Name is what -p calls S3 without a bucket.
const Name = "s3"

const (
	minPart  = 5 << 20 // bytes, but for the last
	maxPart  = 5 << 30 // bytes
	maxParts = 10_000
)

// limits are those of S3. How large an object may be is the store's to say: it
// was 5 TiB for long, and 10,000 parts of 5 GiB hold ten times that.
var limits = upload.Limits{MinPart: minPart, MaxPart: maxPart, MaxParts: maxParts}

// Define is the definition of an address: s3://BUCKET, s3://BUCKET/KEY, or the
// Name alone, which can be shown and not opened. Its error is a
// *spec.AddressError.
func Define(address string) (*spec.Definition, error) {
	at, err := parse(address)
	if address == Name {
		at, err = place{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &spec.Definition{
		Name: Name, Title: title, Docs: "https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html",
		As: "s3://BUCKET[/KEY]", Where: "AWS, in the region of the bucket",
		Auth: "the AWS configuration: environment, profiles, SSO, roles",
		One:  at.key != "" && !strings.HasSuffix(at.key, "/"), Replaces: true,
		Options: options, Limits: limits,
		Abilities: spec.Abilities{
			Plan: spec.PlanClient, URLs: spec.URLsAgain, Aborts: true, Lists: true, TakesOver: true,
			Digests: []string{upload.DigestCRC64NVME, upload.DigestCRC32C},
		},
		Requests: requests,
		Open: func(s spec.Settings) (spec.Provider, error) {
			if at.bucket == "" {
				_, err := parse(address)
				return nil, err
			}
			return open(at, s, find)
		},
	}, nil
}

// requests are those of a multipart upload.
var requests = []spec.Request{
	{Step: "create", Method: "POST", Path: "/KEY?uploads"},
	{Step: "part", Method: "PUT", Path: "/KEY?partNumber=N&uploadId=ID"},
	{Step: "complete", Method: "POST", Path: "/KEY?uploadId=ID"},
	{Step: "abort", Method: "DELETE", Path: "/KEY?uploadId=ID"},
}

// Requests are those for a file: one PUT, or a multipart upload.
func (p *Provider) Requests(size int64, parts int) []spec.Request {
	if p.single(size, parts) {
		return []spec.Request{{Step: "part", Method: "PUT", Path: "/KEY"}}
	}
	return requests
}

// single reports whether a file is sent with one PUT. Several stores cannot put an
// empty part together.
func (p *Provider) single(size int64, parts int) bool {
	return parts == 1 && (p.set.single || size == 0)
}

// Provider is a bucket. It is safe for concurrent use.
type Provider struct {
	place       place
	set         settings
	own         json.RawMessage // the options that were set
	named       string          // the endpoint that is not AWS's; empty: it is
	store       store
	aws         func(region string) store // that of AWS in a region; nil: it is another
	find        func(context.Context, settings) (found, error)
	mu          sync.Mutex              // for credentials
	credentials aws.CredentialsProvider // see from
	signer      *v4.Signer
	client      spec.Client
	clock       transport.Clock
	puts        puts
	signed      map[string]upload.Presigned // requests of one upload, by their step
	proof       bool                        // see spec.Settings
	noSum       atomic.Bool                 // the store refuses a PUT with the checksum
	keyless     atomic.Bool                 // there were no credentials
	now         func() time.Time            // when parts are signed
}

var (
	_ spec.Provider       = (*Provider)(nil)
	_ spec.Keyless        = (*Provider)(nil)
	_ upload.Clock        = (*Provider)(nil)
	_ upload.DigestSigner = (*Provider)(nil)
	_ upload.EndSigner    = (*Provider)(nil)
	_ upload.Signer       = (*Provider)(nil)
	_ spec.Requester      = (*Provider)(nil)
	_ spec.Finder         = (*Provider)(nil)
)

// open checks the settings: the endpoint (a *spec.BaseError), the options (a
// *spec.OptionError), the AWS configuration. Nothing is sent.
func open(at place, s spec.Settings, find func(context.Context, settings) (found, error)) (*Provider, error) {
	set, own, err := read(s.Options)
	if err != nil {
		return nil, err
	}
	// Open has no context, and needs none: files and the environment are read.
	f, err := find(context.TODO(), set)
	var bad *spec.OptionError
	if s.Recorded && errors.As(err, &bad) && bad.Option == "profile" { // it is one of the machine where the upload began
		set.profile = ""
		f, err = find(context.TODO(), set)
	}
	if err != nil && !s.Keyless { // a sender with presigned URLs need not have our profile
		return nil, err
	}
	p := &Provider{place: at, set: set, find: find, credentials: f.credentials, signer: newSigner(), client: s.Client, signed: s.Signed, proof: s.Proof, now: time.Now}
	if p.client == nil {
		p.client = &transport.Client{}
	}
	if len(own) > 0 {
		if p.own, err = json.Marshal(own); err != nil {
			return nil, fmt.Errorf("%s: options: %w", title, err)
		}
	}
	region := cmp.Or(set.region, f.region, "us-east-1")
	if !regionText().MatchString(region) {
		return nil, &spec.OptionError{Provider: title, Option: "region", Reason: fmt.Sprintf("%q, of the AWS configuration, is not one", region), Known: options}
	}
	given := cmp.Or(s.Base, set.endpoint, f.endpoint)
	if given == "" {
		if n := metadataSize(set.object); n > maxMetadata {
			return nil, &spec.OptionError{Provider: title, Option: "metadata", Reason: fmt.Sprintf("has %d bytes, and AWS takes at most %d", n, maxMetadata), Known: options}
		}
		p.aws = func(region string) store {
			return awsStore(region, at.bucket, f.dualStack, f.fips, set.pathStyle != nil && *set.pathStyle)
		}
		p.store = p.aws(region)
		return p, nil
	}
	base, err := endpoint(given)
	if err != nil {
		switch {
		case s.Base != "":
			return nil, &spec.BaseError{Provider: title, Reason: err.Error()}
		case set.endpoint != "":
			return nil, &spec.OptionError{Provider: title, Option: "endpoint", Reason: err.Error(), Known: options}
		}
		return nil, &spec.BaseError{Provider: title, Reason: err.Error() + " (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or endpoint_url of the AWS configuration)"}
	}
	p.named = base.String()
	p.store = store{base: base, region: region, virtual: set.pathStyle != nil && !*set.pathStyle}
	return p, nil
}

// endpoint reads the URL of a store.
func endpoint(raw string) (*url.URL, error) {
	u, err := transport.CheckURL(raw)
	if err != nil {
		return nil, err
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%s: a query or a fragment is refused", transport.Redact(raw))
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: strings.TrimRight(u.Path, "/")}, nil
}

// Target is where a file goes.
func (p *Provider) Target() upload.Target {
	return upload.Target{Provider: p.address(p.place.key), Base: p.named, Options: p.own}
}

// address is that of an object.
func (p *Provider) address(key string) string {
	if key == "" {
		return Scheme + p.place.bucket
	}
	return Scheme + p.place.bucket + "/" + key
}

// in is where the requests of an upload go that began in a region; empty: of none.
func (p *Provider) in(region string) store {
	if p.aws == nil || region == "" {
		return p.store
	}
	return p.aws(region)
}

// Address is where the requests for the bucket go.
func (p *Provider) Address() string { return p.store.url(p.place.bucket, "", nil).String() }

// Limits are those of S3.
func (p *Provider) Limits() upload.Limits { return limits }

// Skew is how far this machine's clock is ahead of the store's.
func (p *Provider) Skew() (time.Duration, bool) { return p.clock.Skew() }
