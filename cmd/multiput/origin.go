package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// originOf is the file of a manifest, as an upload records it.
func originOf(m *provider.Definition) upload.Origin {
	if m.File == "" {
		return upload.Origin{}
	}
	path, err := filepath.Abs(m.File)
	if err != nil {
		return upload.Origin{}
	}
	return upload.Origin{Path: path, Sum: fmt.Sprintf("%x", sha256.Sum256(m.Text))}
}

// What became of the manifest that an upload was started with.
const (
	originSame    = "unchanged"
	originChanged = "changed"
	originGone    = "missing"
	originBad     = "invalid" // or it cannot be read
)

// originTexts say it in words.
var originTexts = map[string]string{
	originChanged: " (changed since the upload was started)",
	originGone:    " (no longer there; name its new path with -p FILE.yaml)",
	originBad:     " (changed since the upload was started, and cannot be used: multiput provider check says why)",
}

func originState(was upload.Origin) string {
	m, err := loadManifest(was.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return originGone
	case err != nil:
		return originBad
	case originOf(m).Sum != was.Sum:
		return originChanged
	}
	return originSame
}

// changedManifest says that the manifest of an upload is another one now than when
// the upload was started; empty: it is not.
func changedManifest(m *provider.Definition, r upload.Record) string {
	was, is := r.Upload.Origin, originOf(m)
	if was.Path == "" || is.Sum == was.Sum {
		return ""
	}
	return fmt.Sprintf("the manifest %s has changed since upload %s was started", transport.Visible(is.Path), transport.Visible(r.Upload.ID))
}

// recordedManifest is the manifest that an upload was started with: the file that
// it was read from, or else, if that is no longer there, the one of its name.
func recordedManifest(r upload.Record) (*provider.Definition, error) {
	name, path := r.Target.Provider, r.Upload.Origin.Path
	var gone error
	if path != "" {
		m, err := loadManifest(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			gone = &config.Error{Where: path, Err: errors.New("no such file: it is the manifest that the upload was started with; if it was moved, name it with -p FILE.yaml")}
		case err != nil:
			return nil, err
		case m.Name != name:
			gone = &config.Error{Where: path, Err: fmt.Errorf("it is now the manifest of %s, but the upload is for %s: name its manifest with -p FILE.yaml", m.Name, name)}
		default:
			return m, nil
		}
	}
	m, err := loadManifest(name)
	if typed[*provider.UnknownError](err) {
		if gone != nil {
			return nil, gone
		}
		return nil, usagef("it is for %s, which is not a known provider: name its manifest with -p FILE.yaml", transport.Visible(name))
	}
	return m, err
}

// manifestOf finds the manifest of an upload: the one that -p names, if it is the
// one, else the recorded one. The configuration that comes with it is that of this
// provider: a key is not for whatever the journal holds.
func manifestOf(cfg config.Config, r upload.Record) (config.Config, *provider.Definition, error) {
	if cfg.Provider != "" {
		m, err := loadManifest(cfg.Provider)
		if err == nil && m.Name == r.Target.Provider {
			return cfg, m, nil
		}
		if err != nil && !typed[*provider.UnknownError](err) {
			return cfg, nil, err
		}
	}
	m, err := recordedManifest(r)
	if err != nil {
		return cfg, nil, err
	}
	cfg, err = cfg.For(r.Target.Provider)
	return cfg, m, err
}
