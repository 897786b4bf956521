package config

// Bounded lets a test bring a keyring that waits.
var Bounded = bounded
