package inprocess_test

import (
	"testing"

	"gemini-client/service/servicetest"
)

func TestMain(m *testing.M) { servicetest.VerifyTestMain(m) }
