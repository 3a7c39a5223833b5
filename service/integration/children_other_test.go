//go:build integration && !linux

package integration

import "syscall"

// endWithParent is more than this system offers: a child outlives a test
// process that is killed.
func endWithParent() *syscall.SysProcAttr { return nil }
