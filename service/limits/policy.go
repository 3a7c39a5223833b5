package limits

import (
	"context"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/common"
	"github.com/failsafe-go/failsafe-go/policy"
)

// Policy is a failsafe-go policy that lets an execution begin when its turn has come with
// the limits that it asks for. Its standalone use is [Ask.Acquire].
type Policy[R any] struct {
	ask func(context.Context) Ask
}

var _ failsafe.Policy[any] = &Policy[any]{}

// NewPolicy returns a policy. ask is called with the context of each execution.
func NewPolicy[R any](ask func(context.Context) Ask) *Policy[R] { return &Policy[R]{ask} }

// ToExecutor implements failsafe.Policy.
func (p *Policy[R]) ToExecutor(R) any {
	e := &executor[R]{ask: p.ask}
	e.Executor = e
	return e
}

// executor lets an execution wait.
type executor[R any] struct {
	policy.BaseExecutor[R]
	ask func(context.Context) Ask
}

// Apply implements policy.Executor.
func (e *executor[R]) Apply(inner func(failsafe.Execution[R]) *common.PolicyResult[R]) func(failsafe.Execution[R]) *common.PolicyResult[R] {
	return func(exec failsafe.Execution[R]) *common.PolicyResult[R] {
		ctx := exec.Context()
		if err := e.ask(ctx).Acquire(ctx); err != nil {
			if cancelled, result := exec.(policy.ExecutionInternal[R]).IsCanceledWithResult(); cancelled {
				return result
			}
			return &common.PolicyResult[R]{Error: err, Done: true}
		}
		return inner(exec)
	}
}
