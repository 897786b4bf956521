package main

import (
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
)

// Set by the release build. Else the Go toolchain knows them, as after go install.
var (
	version = ""
	commit  = ""
	date    = ""
)

func init() {
	info, ok := debug.ReadBuildInfo()
	if version == "" && ok {
		version, commit, date = fromBuild(info)
	}
}

// pseudoVersion is the version of a commit without a tag. It ends with the
// commit's time and its first digits.
var pseudoVersion = regexp.MustCompile(`[-.]\d{14}-([0-9a-f]{12})(?:\+dirty)?$`)

// fromBuild is what the Go toolchain recorded in the program.
func fromBuild(info *debug.BuildInfo) (version, commit, date string) {
	if version = info.Main.Version; version == "" || version == "(devel)" {
		version = "dev"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value
		case "vcs.time":
			date = s.Value
		}
	}
	if m := pseudoVersion.FindStringSubmatch(version); m != nil && commit == "" {
		commit = m[1]
	}
	return version, commit, date
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  `Print the version, the commit it was built from, and the version of Go.`,
		Example: `  multiput version
  multiput version --jq .version`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.printVersion(c) },
	}
}

// shownVersion is the documented form of version --json.
type shownVersion struct {
	Schema  int    `json:"schema"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Date    string `json:"date"` // of the commit, in RFC 3339
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func (a *app) printVersion(c *cobra.Command) error {
	cfg, err := config.LoadSettings(c.Flags())
	if err != nil { // a wrong config file must not hide the version
		cfg = config.Config{}
		cfg.JSON, _ = c.Flags().GetBool("json")
		cfg.JQ, _ = c.Flags().GetString("jq")
	}
	a.json = cfg.JSON || cfg.JQ != ""
	v := shownVersion{1, version, commit, date, runtime.Version(), runtime.GOOS, runtime.GOARCH}
	if done, err := a.printObject(c.Context(), cfg, v); done {
		return err
	}
	return a.printText(versionLine() + "\n")
}

func versionLine() string {
	s := "multiput " + version
	switch {
	case commit != "" && date != "":
		s += fmt.Sprintf(" (%.12s, %s)", commit, date)
	case commit != "":
		s += fmt.Sprintf(" (%.12s)", commit)
	}
	return fmt.Sprintf("%s %s %s/%s", s, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
