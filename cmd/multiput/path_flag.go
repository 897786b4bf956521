package main

import (
	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/config"
)

// pathFlag is the value of a flag that names a file or a directory; ~/ at its
// beginning is the home directory.
type pathFlag string

func (p *pathFlag) String() string { return string(*p) }
func (p *pathFlag) Type() string   { return "string" }

func (p *pathFlag) Set(path string) error {
	path, err := config.Expand(path)
	*p = pathFlag(path)
	return err
}

func pathVar(f *pflag.FlagSet, to *string, name, short, usage string) {
	f.VarP((*pathFlag)(to), name, short, usage)
}
