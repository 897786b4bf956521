package sandbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// APIs are the upload APIs that the sandbox speaks.
func APIs() []string { return []string{"archetype", "fileai", "openai", "upscayl"} }

// DirError is a directory in which nothing can be stored.
type DirError struct {
	Dir string
	Err error
}

func (e *DirError) Error() string {
	return fmt.Sprintf("sandbox: open the store in %s: %v", e.Dir, e.Err)
}
func (e *DirError) Unwrap() error { return e.Err }

// Server is one sandbox: an upload API and the store behind it. The fields are
// not changed after [Server.Start] or [Server.Handler].
type Server struct {
	API string // one of APIs
	Dir string // for all it remembers; created if missing
	Key string // what the API's auth header must carry; empty: none is required

	// Store is where the parts go. Nil: below Dir.
	Store Store
	// StoreListen is the address of the store, if it shall not share the
	// API's: "127.0.0.1:0".
	StoreListen string
	// StoreURL is where clients find the store ("http://host:port"), if that
	// is not where it listens: a proxy, say. Empty: where it listens.
	StoreURL string
	// Discard makes the store forget the bytes it takes: for benchmarks. Its
	// ETags are opaque, and there is no object.
	Discard bool

	PartSize   int64         // bytes, where the API plans; 0: 8 MiB, file.ai 6 MiB. Grows with the file to keep to 10,000 parts
	MinPart    int64         // bytes that the store wants of each part but the last; 0: none
	URLLife    time.Duration // 0: one hour, file.ai 900 s
	UploadLife time.Duration // of OpenAI's uploads; 0: one hour
	Megabyte   int64         // bytes, as file.ai counts them; 0: 1048576
	ZeroBased  bool          // Archetype counts parts from 0, as its older pages say
	Integrity  string        // Archetype's integrity_algorithm; empty: crc32c
	Seconds    bool          // Upscayl's times are in seconds, not milliseconds

	Faults *Faults
	// Kill is what the faults kill and kill-late do without a process id.
	Kill func()
	// Before is called with a step's request before it is handled, After
	// of every request when all is done but the answer. They may be called from
	// several goroutines.
	Before, After func(Request)
	// Log gets a line for each request, without key and signature.
	Log io.Writer
	// Now is the clock; nil: the real one.
	Now func() time.Time

	once     sync.Once
	err      error
	front    *front
	disk     *disk // nil if Store is not ours
	log      record
	arrivals arrivals
	upstream http.Transport // to a Remote
	stopping chan struct{}
	stop     sync.Once
}

// Base is the path that an API's base URL ends in.
func Base(api string) string {
	switch api {
	case "openai":
		return "/v1"
	case "archetype":
		return "/v0.5"
	}
	return ""
}

func (s *Server) open() error {
	s.once.Do(func() { s.err = s.prepare() })
	return s.err
}

func (s *Server) prepare() error {
	s.stopping = make(chan struct{})
	s.log.out = s.Log
	s.upstream.DisableCompression = true
	if s.Now == nil {
		s.Now = time.Now
	}
	switch s.API {
	case "archetype":
		s.front = s.archetype()
	case "fileai":
		s.front = s.fileai()
	case "openai":
		s.front = s.openai()
	case "upscayl":
		s.front = s.upscayl()
	default:
		return fmt.Errorf("sandbox: no such API %q: it speaks %s", s.API, strings.Join(APIs(), ", "))
	}
	if s.Dir == "" {
		return errors.New("sandbox: no directory to remember uploads in")
	}
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	s.Dir = dir
	s.Integrity = cmp.Or(s.Integrity, "crc32c")
	if s.Integrity != "crc32c" && s.Integrity != "none" {
		return fmt.Errorf("sandbox: no such integrity algorithm %q: crc32c or none", s.Integrity)
	}
	s.Megabyte = cmp.Or(s.Megabyte, 1<<20)
	if s.PartSize < 0 || s.MinPart < 0 || s.URLLife < 0 || s.UploadLife < 0 || s.Megabyte < 0 {
		return errors.New("sandbox: a size or time below zero")
	}
	if s.Store == nil {
		s.disk, err = openDisk(s.Dir, s.Now, s.MinPart, s.Discard)
		if err != nil {
			return &DirError{s.Dir, err}
		}
		s.Store = s.disk
	}
	if _, ok := s.Store.(Joiner); !ok && s.API == "openai" {
		return errors.New("sandbox: this store cannot take parts from OpenAI's API")
	}
	if err := s.Faults.check(s.can); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return nil
}

// can says whether a fault can happen in this sandbox.
func (s *Server) can(f *fault) error {
	byAPI := f.step != StepPut || s.API == "openai"
	has := slices.ContainsFunc(s.front.routes, func(r route) bool { return r.step == f.step })
	switch {
	case byAPI && !has:
		return fmt.Errorf("%s has no step %s", s.API, f.step)
	case byAPI && slices.Contains([]string{kindExpire, kindOpaqueETag, kindWrongETag, kindTruncate}, f.kind):
		return fmt.Errorf("%s has no signed URLs and no ETags", s.API)
	case !byAPI && s.disk == nil && s.StoreListen == "":
		return errors.New("the store is not the sandbox's own, and the sandbox has no URL of its own for it (StoreListen)")
	case !byAPI && s.disk == nil && slices.Contains([]string{kindOpaqueETag, kindTruncate}, f.kind):
		return errors.New("the store is not the sandbox's own")
	case s.Discard && slices.Contains([]string{kindOpaqueETag, kindCorrupt, kindTruncate}, f.kind):
		return errors.New("the store discards what it takes")
	case !byAPI && (f.kind == kindBadJSON || f.kind == kindPatch):
		return errors.New("the reply to a put is not JSON")
	case (f.kind == kindKill || f.kind == kindKillLate) && f.pid == 0 && s.Kill == nil:
		return errors.New("whom to kill? give a process id")
	}
	return nil
}

// Handler serves the API and, if it is the sandbox's own, the store.
func (s *Server) Handler() (http.Handler, error) {
	api, store, err := s.Handlers()
	if err != nil || s.disk == nil {
		return api, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, storePrefix) {
			store.ServeHTTP(w, r)
		} else {
			api.ServeHTTP(w, r)
		}
	}), nil
}

// Handlers serve the API and the store, each for an origin of its own; the
// URLs of the store are signed for [Server.StoreURL] then. The store's is nil
// if it is neither the sandbox's own nor a [Remote].
func (s *Server) Handlers() (api, store http.Handler, err error) {
	if err := s.open(); err != nil {
		return nil, nil, err
	}
	if s.disk != nil {
		store = http.HandlerFunc(s.serveStore)
	} else if _, ok := s.Store.(Remote); ok {
		store = http.HandlerFunc(s.serveRemote)
	}
	return http.HandlerFunc(s.serveAPI), store, nil
}

// Start serves the sandbox at listen ("127.0.0.1:0", or empty for the same)
// until ctx ends or stop is called, which waits a moment for requests under
// way. It returns the base URL of the API.
func (s *Server) Start(ctx context.Context, listen string) (base string, stop func() error, err error) {
	api, store, err := s.Handlers()
	if err != nil {
		return "", nil, err
	}
	l, err := listenAt(ctx, listen)
	if err != nil {
		return "", nil, err
	}
	var servers []*http.Server
	serve := func(h http.Handler) {
		servers = append(servers, &http.Server{
			Handler:           h,
			ReadHeaderTimeout: 30 * time.Second,
			ErrorLog:          log.New(io.Discard, "", 0),
		})
	}
	listeners := []net.Listener{l}
	if s.StoreListen != "" && store != nil {
		sl, err := listenAt(ctx, s.StoreListen)
		if err != nil {
			return "", nil, errors.Join(err, l.Close())
		}
		listeners = append(listeners, sl)
		s.StoreURL = cmp.Or(s.StoreURL, "http://"+sl.Addr().String())
		serve(api)
		serve(store)
	} else {
		h, _ := s.Handler() // it was opened above
		serve(h)
	}
	served := make(chan error, len(servers))
	for i := range servers {
		go func() { served <- servers[i].Serve(listeners[i]) }()
	}
	var (
		once    sync.Once
		stopErr error
		unhook  func() bool
	)
	stop = func() error {
		once.Do(func() {
			unhook()
			s.stop.Do(func() { close(s.stopping) })
			soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			for _, srv := range servers {
				if err := srv.Shutdown(soon); err != nil {
					stopErr = errors.Join(stopErr, srv.Close())
				}
			}
			s.upstream.CloseIdleConnections()
			for range servers {
				if err := <-served; !errors.Is(err, http.ErrServerClosed) {
					stopErr = errors.Join(stopErr, err)
				}
			}
		})
		return stopErr
	}
	ready := make(chan struct{})
	unhook = context.AfterFunc(ctx, func() {
		<-ready
		_ = stop() // the caller of stop gets its error
	})
	close(ready)
	return "http://" + l.Addr().String() + Base(s.API), stop, nil
}

// listenAt listens at an address that names its host, so that a server is not open
// to the whole network by mistake.
func listenAt(ctx context.Context, addr string) (net.Listener, error) {
	addr = cmp.Or(addr, "127.0.0.1:0")
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("sandbox: listen at %q: it is HOST:PORT, such as 127.0.0.1:8080", addr)
	}
	if host == "" {
		return nil, fmt.Errorf("sandbox: listen at %q: name the host: 127.0.0.1 for this machine alone, 0.0.0.0 for every network", addr)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	return l, nil
}

// newID makes an id that cannot be guessed.
func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }
