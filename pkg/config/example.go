package config

import _ "embed"

// Example is a config file to start from. Its first line has editors check the
// file by docs/schema/config.json; its keys are comments.
//
//go:embed example.yaml
var Example string
