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
//	headers_test, refused_test, fuzz_test   hostile headers and messages, refusals of JetStream
//	cut_test, lagging_test   cut networks and stalled copies
//	models_test, edge_test   sick models, pages of an edge
//	bombs_test, resultsfull_test, deadletters_test   bounds
//	bill_test         what a result tells of its cost
//	stop_test         SIGTERM, outages of NATS
//	permissions_*     the least rights of each user, and attacks by them; secure_test: TLS and credentials
//	metrics_test, trace_test, logsentences_test, health_test, …   what people see
//	secrets_test      what nobody may see
package inprocess
