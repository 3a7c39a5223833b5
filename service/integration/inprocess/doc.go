// Package inprocess puts the promises of the service to the test in one process:
// the whole service, beside an embedded nats-server with JetStream on disk and
// the OpenRouter simulator. It belongs to the fast suite; what takes killed
// processes or containers is in the folders beside it.
//
//	contract_test     bodies and headers of requests and results
//	once_test         one result and one call for duplicates and replicas
//	reschedule_test   retries as schedules; cancelwaiting_test: cancelling scheduled requests
//	crash_test        crash loops, claims of killed workers
//	broken_test       bad messages; limits_test: too many, too large
//	stop_test         SIGTERM, outages of NATS
//	permissions_*     the least rights of each user, and attacks by them; secure_test: TLS and credentials
//	metrics_test, trace_test, logsentences_test, health_test, …   what people see
//	secrets_test      what nobody may see
package inprocess
