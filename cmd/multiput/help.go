package main

import (
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/docs"
)

// topic is a page of the manual.
type topic struct {
	name  string // of its file, without .md
	title string
	text  string // Markdown
}

// forDevelopers are pages that are not about the command.
var forDevelopers = []string{"library", "project-layout"}

var docTitle = regexp.MustCompile(`^# (.+)\n`)

// topics reads the manual, in the order of its pages' names.
func topics() ([]topic, error) {
	files, err := fs.Glob(docs.Pages, "*.md")
	if err != nil {
		return nil, err
	}
	var all []topic
	for _, file := range files {
		b, err := docs.Pages.ReadFile(file)
		if err != nil {
			return nil, err
		}
		t := topic{name: strings.TrimSuffix(file, ".md"), text: strings.ReplaceAll(string(b), "\r\n", "\n")}
		title := docTitle.FindStringSubmatch(t.text)
		if title == nil {
			return nil, fmt.Errorf("docs/%s does not begin with a title", file)
		}
		t.title = title[1]
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b topic) int { return strings.Compare(a.name, b.name) }) // without .md
	return all, nil
}

// userTopics are the pages that help lists.
func userTopics() ([]topic, error) {
	all, err := topics()
	return slices.DeleteFunc(all, func(t topic) bool { return slices.Contains(forDevelopers, t.name) }), err
}

func helpCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND|TOPIC]",
		Short: "Show the help of a command, or a page of the manual",
		Long: `Show the help of a command, or a page of the manual. Where a command and a page
have the same name, both are shown.`,
		Example: `  multiput help upload
  multiput help resuming`,
		ValidArgsFunction: completeHelp,
		RunE: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			isCommand := err == nil && len(rest) == 0 && (len(args) == 0 || found != c.Root())
			all, err := topics()
			if err != nil {
				return err
			}
			page := slices.IndexFunc(all, func(t topic) bool { return len(args) == 1 && t.name == args[0] })
			switch {
			case !isCommand && page < 0:
				return &usageError{fmt.Errorf("unknown command or topic %q%s", strings.Join(args, " "), meantTopic(found, args, all)), c.CommandPath()}
			case !isCommand:
				return writePage(c.OutOrStdout(), all[page])
			}
			if err := found.Help(); err != nil || page < 0 {
				return err
			}
			if _, err := io.WriteString(c.OutOrStdout(), "\n"); err != nil {
				return err
			}
			return writePage(c.OutOrStdout(), all[page])
		},
	}
}

// meantTopic suggests the command or the page that may be meant.
func meantTopic(c *cobra.Command, args []string, all []topic) string {
	var names []string
	for _, t := range all {
		names = append(names, t.name)
	}
	for _, sub := range c.Root().Commands() {
		if sub.IsAvailableCommand() && !slices.Contains(names, sub.Name()) {
			names = append(names, sub.Name())
		}
	}
	if meant := similar(args[len(args)-1], names); meant != "" && len(args) == 1 {
		return meant
	}
	return meantCommand(c, args)
}

func completeHelp(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	found, _, err := c.Root().Find(args)
	if err != nil {
		return nil, none
	}
	var words []cobra.Completion
	for _, sub := range found.Commands() {
		if sub.IsAvailableCommand() && strings.HasPrefix(sub.Name(), begun) {
			words = append(words, cobra.CompletionWithDesc(sub.Name(), sub.Short))
		}
	}
	all, err := userTopics()
	if err != nil || len(args) > 0 {
		return words, none
	}
	for _, t := range all {
		if strings.HasPrefix(t.name, begun) {
			words = append(words, cobra.CompletionWithDesc(t.name, t.title))
		}
	}
	return words, none
}

var (
	docImage  = regexp.MustCompile(`(?m)^!\[[^\]]*\]\([^)]*\)\n`)
	docToPage = regexp.MustCompile(`\[([^\]]+)\]\(([a-z-]+)\.md(?:#[^)]*)?\)`)
	docToFile = regexp.MustCompile(`\[([^\]]+)\]\([^):]*\)`)
)

// writePage prints a page for a terminal: its links name topics.
func writePage(w io.Writer, t topic) error {
	text := docImage.ReplaceAllString(t.text, "")
	text = docToPage.ReplaceAllString(text, "$1 (multiput help $2)")
	text = docToFile.ReplaceAllString(text, "$1")
	_, err := io.WriteString(w, text)
	return err
}

// topicList is the part of the help that names the manual's pages.
func topicList(c *cobra.Command) string {
	all, err := userTopics()
	if err != nil || c.HasParent() {
		return ""
	}
	var b strings.Builder
	width := 0
	for _, t := range all {
		width = max(width, len(t.name))
	}
	b.WriteString("\nTopics:\n")
	for _, t := range all {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, t.name, t.title)
	}
	return b.String()
}
