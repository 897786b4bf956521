package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCmd writes the manual pages, for releases: those of the commands from their
// help, and those of the subjects from the pages of the manual.
func manCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages into DIR",
		Long:   `Write the manual pages of the commands and of the topics into DIR.`,
		Hidden: true,
		Args:   cobra.ExactArgs(1),
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
			all, err := topics()
			if err != nil {
				return err
			}
			for _, t := range all {
				name := "multiput-" + t.name + ".7"
				if err := os.WriteFile(filepath.Join(args[0], name), subjectPage(t, when), 0o644); err != nil { //nolint:gosec // manual pages are public
					return err
				}
			}
			return nil
		},
	}
}

var docLevel = regexp.MustCompile(`(?m)^#(#+ )`)

// subjectPage turns a page of the manual into a manual page of section 7, in
// which links to other pages name these.
func subjectPage(t topic, when time.Time) []byte {
	body := docTitle.ReplaceAllString(t.text, "")
	body = docImage.ReplaceAllString(body, "")
	body = docLevel.ReplaceAllString(body, "$1")
	body = docToPage.ReplaceAllString(body, "$1, **multiput-$2**(7),")
	body = docToFile.ReplaceAllString(body, "$1")
	name := "multiput-" + t.name
	head := fmt.Sprintf("%% %s 7 %q %q multiput\n\n# NAME\n\n%s - %s\n\n# DESCRIPTION\n", name, when.Format("Jan 2006"), "multiput "+version, name, t.title)
	return md2man.Render([]byte(head + body))
}
