package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCmd writes the manual pages, for the release archives.
func manCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages into a directory",
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
			return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "multiput " + version, Manual: "multiput", Date: &when}, args[0])
		},
	}
}
