package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCmd writes the manual pages, for the release archives: those of the
// commands from their help, and those of the subjects from docs.
func manCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR [DOCS]",
		Short:  "Write the manual pages into a directory, and those of the subjects in DOCS too",
		Hidden: true,
		Args:   cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // manual pages are public
				return err
			}
			// A fixed date, so that two builds of one version are the same.
			when := time.Unix(0, 0).UTC()
			if t, err := time.Parse(time.RFC3339, date); err == nil {
				when = t
			}
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "multiput " + version, Manual: "multiput", Date: &when}, args[0]); err != nil {
				return err
			}
			if len(args) == 1 {
				return nil
			}
			return subjectPages(args[0], args[1], when)
		},
	}
}

// subjectPages makes a manual page of each page of the documentation.
func subjectPages(dir, docs string, when time.Time) error {
	pages, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil {
		return err
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		name := "multiput-" + strings.TrimSuffix(filepath.Base(page), ".md")
		manual, err := subjectPage(name, text, when)
		if err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".7"), manual, 0o644); err != nil { //nolint:gosec // manual pages are public
			return err
		}
	}
	return nil
}

var (
	docTitle  = regexp.MustCompile(`^# (.+)\n`)
	docLevel  = regexp.MustCompile(`(?m)^#(#+ )`)
	docImage  = regexp.MustCompile(`(?m)^!\[[^\]]*\]\([^)]*\)\n`)
	docToPage = regexp.MustCompile(`\[([^\]]+)\]\(([a-z-]+)\.md(?:#[^)]*)?\)`)
	docToFile = regexp.MustCompile(`\[([^\]]+)\]\((?:#|\.\./|design/|[a-z-]+\.)[^)]*\)`)
)

// subjectPage turns a page of the documentation into a manual page of section 7,
// in which links to other pages name these.
func subjectPage(name string, text []byte, when time.Time) ([]byte, error) {
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	title := docTitle.FindSubmatch(text)
	if title == nil {
		return nil, errors.New("does not begin with a title")
	}
	body := docTitle.ReplaceAll(text, nil)
	body = docImage.ReplaceAll(body, nil)
	body = docLevel.ReplaceAll(body, []byte("$1"))
	body = docToPage.ReplaceAll(body, []byte("$1, **multiput-$2**(7),"))
	body = docToFile.ReplaceAll(body, []byte("$1"))
	head := fmt.Sprintf("%% %s 7 %q %q multiput\n\n# NAME\n\n%s - %s\n\n# DESCRIPTION\n", name, when.Format("Jan 2006"), "multiput "+version, name, title[1])
	return md2man.Render(append([]byte(head), body...)), nil
}
