package provider_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/internal/s3store"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/check"
	"github.com/multiput/multiput/pkg/sandbox"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// implementation is a provider that the contract suite tests.
type implementation struct {
	name     string
	provider string
	server   func(*sandbox.Server)
	options  map[string]string
	can      check.Subject // what it can do
	// local says that it has no need of a real store: what is special about it
	// is between it and the API. only are the cases in which that shows.
	local bool
	only  []string
	// proxied says that parts go to the API, which hands them on in its own
	// way: they may be small, and the client never meets the store.
	proxied bool
}

var implementations = []implementation{
	{
		name: "archetype", provider: "archetype",
		server: func(s *sandbox.Server) { s.API = "archetype" },
		can: check.Subject{
			Empty: true, Renewable: true, Checkpoints: true, Aborts: true, Digest: upload.DigestCRC32C,
			TakeOver: map[string]string{"resume": "true"},
		},
	},
	{
		name: "archetype, parts from 0, no integrity", provider: "archetype",
		server: func(s *sandbox.Server) { s.API, s.ZeroBased, s.Integrity = "archetype", true, "none" },
		can:    check.Subject{Empty: true, Renewable: true, Checkpoints: true, Aborts: true},
	},
	{
		name: "fileai", provider: "fileai",
		server: func(s *sandbox.Server) { s.API = "fileai" },
		can:    check.Subject{Empty: true, Probes: true},
	},
	{
		name: "fileai, a million bytes to the megabyte", provider: "fileai",
		server:  func(s *sandbox.Server) { s.API, s.Megabyte = "fileai", 1_000_000 },
		options: map[string]string{"megabyte": "1000000"},
		can:     check.Subject{Empty: true, Probes: true},
		local:   true,
		only:    []string{"empty file", "one byte", "one part", "one part and a byte", "several parts"},
	},
	{
		name: "openai", provider: "openai",
		server:  func(s *sandbox.Server) { s.API = "openai" },
		options: map[string]string{"purpose": "fine-tune", "md5": "hex"},
		can:     check.Subject{Empty: true, Renewable: true, Aborts: true, Digest: upload.DigestMD5},
		proxied: true,
	},
	{
		name: "openai, no md5", provider: "openai",
		server:  func(s *sandbox.Server) { s.API = "openai" },
		options: map[string]string{"purpose": "batch"},
		can:     check.Subject{Empty: true, Renewable: true, Aborts: true},
		local:   true,
		only:    []string{"several parts", "a part missing", "a forged receipt", "another digest", "completed twice"},
	},
	{
		name: "upscayl", provider: "upscayl",
		server: func(s *sandbox.Server) { s.API = "upscayl" },
		can:    check.Subject{Empty: true},
	},
	{
		name: "upscayl, times in seconds", provider: "upscayl",
		server: func(s *sandbox.Server) { s.API, s.Seconds = "upscayl", true },
		can:    check.Subject{Empty: true},
		local:  true,
		only:   []string{"several parts", "urls again", "a process for each step"},
	},
	{
		// Its result is the path of a local object: it has no other store.
		name: "sandbox", provider: provider.Sandbox,
		server: func(s *sandbox.Server) { s.API = "archetype" },
		can: check.Subject{
			Empty: true, Renewable: true, Checkpoints: true, Aborts: true, Digest: upload.DigestCRC32C,
			TakeOver: map[string]string{"resume": "true"},
		},
		local: true,
	},
}

// TestContract runs the suite against the sandbox's own store.
func TestContract(t *testing.T) {
	for _, c := range implementations {
		t.Run(c.name, func(t *testing.T) {
			clock := &clock{}
			s := c.enter(t, &sandbox.Server{PartSize: smallPart, Now: clock.now})
			s.Backdate, s.Only = clock.back, c.only
			check.Run(t, s)
		})
	}
}

const (
	smallPart = 64 << 10
	s3MinPart = 5 << 20 // the least that S3 takes as a part that is not the last
)

// TestContractMinIO runs the suite against a real S3 server: signatures, their
// ends, ETags and assembly are its own.
func TestContractMinIO(t *testing.T) {
	server := realstore.MinIO(t)
	for _, c := range implementations {
		if !c.local {
			t.Run(c.name, func(t *testing.T) { check.Run(t, c.enterReal(t, server)) })
		}
	}
}

// TestContractVersityGW runs what a store has to do with against a second
// server, which often breaks the connection where it should refuse.
func TestContractVersityGW(t *testing.T) {
	server := realstore.VersityGW(t)
	for _, c := range implementations {
		if c.local || c.proxied {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := c.enterReal(t, server)
			s.Tries = 20
			s.Only = []string{
				"empty file", "one byte", "a part sent twice", "a presigned URL past its end", "a part missing",
				"a forged receipt", "abort", "where the key went",
			}
			check.Run(t, s)
		})
	}
}

// enterReal is enter with a real S3 server behind the API.
func (c *implementation) enterReal(t *testing.T, server realstore.Server) check.Subject {
	t.Helper()
	opened, err := s3store.Open(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	store := &datedStore{Store: opened, server: server}
	size := int64(s3MinPart)
	if c.proxied {
		size = smallPart
	}
	s := c.enter(t, &sandbox.Server{PartSize: size, Store: store})
	s.Backdate = store.back
	return s
}

// The keys are long and odd enough to be found wherever they turn up.
const (
	goodKey = "key-of-the-contract-4f9d2c71"
	badKey  = "key-that-is-refused-b85e03aa"
)

// enter serves the sandbox, its API and its store each at an origin of its
// own, and has both watched.
func (c *implementation) enter(t *testing.T, server *sandbox.Server) check.Subject {
	t.Helper()
	m, err := provider.Load(c.provider)
	if err != nil {
		t.Fatal(err)
	}
	wire := &check.Recorder{}
	front, back := httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil)
	c.server(server)
	server.Dir, server.Key = t.TempDir(), goodKey
	server.StoreURL = "http://" + back.Listener.Addr().String()
	api, parts, err := server.Handlers()
	if err != nil {
		t.Fatal(err)
	}
	serve := func(s *httptest.Server, at string, h http.Handler) {
		s.Config.Handler = wire.Handler(at, h)
		s.Start()
		t.Cleanup(s.Close)
	}
	serve(front, check.API, api)
	serve(back, check.Store, parts)

	s := c.can
	s.Key, s.BadKey, s.PartSize, s.Wire = goodKey, badKey, server.PartSize, wire
	client := &transport.Client{UserAgent: "multiput-contract"}
	s.Open = func(o check.Opening) (upload.Provider, error) {
		options := maps.Clone(c.options)
		if options == nil {
			options = map[string]string{}
		}
		maps.Copy(options, o.Options)
		return m.Open(provider.Settings{
			Base: front.URL + sandbox.Base(server.API), Keys: []provider.Secret{contractKey(o.Key)}, Options: options, Client: client,
		})
	}
	s.Object = func(ctx context.Context, u upload.Upload, _ upload.Result) (string, []byte, error) {
		return object(ctx, server, u.ID)
	}
	return s
}

type contractKey string

func (k contractKey) Reveal() string { return string(k) }

// object fetches what an upload came to from the store itself, past all that
// the client has anything to do with.
func object(ctx context.Context, server *sandbox.Server, id string) (name string, body []byte, err error) {
	list, err := server.Finished()
	if err != nil {
		return "", nil, err
	}
	at := slices.IndexFunc(list, func(f sandbox.Finished) bool { return f.Upload == id })
	if at < 0 {
		return "", nil, fmt.Errorf("the sandbox has no finished upload %s", id)
	}
	done := list[at]
	if store, ok := server.Store.(*datedStore); ok {
		body, err = store.Object(ctx, done.Key)
	} else {
		body, err = os.ReadFile(done.Path)
	}
	return done.Name, body, err
}

// longAgo is when a presigned URL was issued that is past its end.
const longAgo = 48 * time.Hour

// clock is the sandbox's: it goes as the real one does, or as far behind it as
// longAgo.
type clock struct{ behind atomic.Bool }

func (c *clock) now() time.Time {
	if c.behind.Load() {
		return time.Now().Add(-longAgo)
	}
	return time.Now()
}

func (c *clock) back() (undo func()) {
	c.behind.Store(true)
	return func() { c.behind.Store(false) }
}

// datedStore is a real store whose URLs can be signed as if that had been done
// long ago. It signs all of them itself, so that whatever goes well proves that
// it signs right: past its end is all that is wrong with a URL of long ago.
type datedStore struct {
	*s3store.Store
	server realstore.Server
	clock
}

func (s *datedStore) Presign(_ context.Context, base string, r sandbox.Ref, part int, life time.Duration) (string, time.Time, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", time.Time{}, err
	}
	at := s.now().UTC().Truncate(time.Second)
	day, moment := at.Format("20060102"), at.Format("20060102T150405Z")
	scope := day + "/" + realstore.Region + "/s3/aws4_request"
	path := s3utils.EncodePath("/" + s.server.Bucket + "/" + r.Key)
	query := url.Values{
		"partNumber": {strconv.Itoa(part)}, "uploadId": {r.ID},
		"X-Amz-Algorithm": {"AWS4-HMAC-SHA256"}, "X-Amz-Credential": {s.server.AccessKey + "/" + scope},
		"X-Amz-Date": {moment}, "X-Amz-Expires": {strconv.Itoa(int(life.Seconds()))}, "X-Amz-SignedHeaders": {"host"},
	}.Encode()
	asked := sha256.Sum256([]byte("PUT\n" + path + "\n" + query + "\nhost:" + u.Host + "\n\nhost\nUNSIGNED-PAYLOAD"))
	key := []byte("AWS4" + s.server.SecretKey)
	for _, text := range []string{
		day, realstore.Region, "s3", "aws4_request",
		"AWS4-HMAC-SHA256\n" + moment + "\n" + scope + "\n" + hex.EncodeToString(asked[:]),
	} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		key = mac.Sum(nil)
	}
	return base + path + "?" + query + "&X-Amz-Signature=" + hex.EncodeToString(key), at.Add(life), nil
}

// serveSandbox serves a sandbox at one origin, and gives the base of its API.
func serveSandbox(t *testing.T, server *sandbox.Server) string {
	t.Helper()
	front := httptest.NewUnstartedServer(nil)
	h, err := server.Handler()
	if err != nil {
		t.Fatal(err)
	}
	front.Config.Handler = h
	front.Start()
	t.Cleanup(front.Close)
	return front.URL + sandbox.Base(server.API)
}
