package main

// natsBoard shows the queues and what NATS takes for its answers.
func natsBoard() board {
	return board{
		name: "nats", title: "gemini-client: NATS",
		description: "The queues as the workers see them, and how long NATS takes to store and to confirm.",
		rows:        []row{queuesRow(), operationsRow(), trustRow()},
	}
}

func queuesRow() row {
	return row{"Queues", []panel{
		{title: "Waiting", unit: short, description: "Messages that no worker has taken, by queue.", queries: one(`max by (queue) (gemini_queue_messages{`+job+`,state="waiting"})`, "{{queue}}")},
		{title: "Age of the oldest waiting message", unit: seconds, description: "By queue. Growing: the workers do not keep up, or take nothing.", queries: one("max by (queue) (gemini_queue_oldest_age_seconds{"+job+"})", "{{queue}}")},
		{title: "In flight", unit: short, description: "Delivered and not settled, by queue.", queries: one(`max by (queue) (gemini_queue_messages{`+job+`,state="in_flight"})`, "{{queue}}")},
		{title: "Scheduled", unit: short, description: "Requests that come again by themselves: rescheduled ones, and those that wait for a batch.", queries: one(`max by (queue) (gemini_queue_messages{`+job+`,state="scheduled"})`, "{{queue}}")},
		{title: "Size of results and dead letters", unit: size, description: "Of their streams.", queries: one("max by (queue) (gemini_queue_size_bytes{"+job+"})", "{{queue}}")},
		{title: "Full to", unit: percent, description: "Of the size at which NATS stores no more results (then nothing is called for), or drops the oldest dead letters. Streams without a limit are not shown.", queries: one("max by (queue) (gemini_queue_size_bytes{"+job+"}) / max by (queue) (gemini_queue_limit_bytes{"+job+"})", "{{queue}}")},
	}}
}

func operationsRow() row {
	return row{"What NATS takes", []panel{
		{title: "Time to store a result", unit: seconds, exemplars: true, description: "From sending a result to NATS's confirmation. Slow: the disk or the network of NATS.", queries: quantiles("messaging_client_operation_duration_seconds", `,messaging_operation_name="publish"`)},
		{title: "Time to confirm an acknowledgement", unit: seconds, exemplars: true, description: "From sending it to NATS's confirmation.", queries: quantiles("messaging_client_operation_duration_seconds", `,messaging_operation_name="ack"`)},
		{title: "Messages taken", unit: ops, description: "By queue, redeliveries included.", queries: one("sum by (messaging_destination_name) (rate(messaging_client_consumed_messages_total{"+job+"}"+rates+"))", "{{messaging_destination_name}}")},
		{title: "Results sent", unit: ops, description: "By kind of result.", queries: one("sum by (messaging_destination_template) (rate(messaging_client_sent_messages_total{"+job+"}"+rates+"))", "{{messaging_destination_template}}")},
	}}
}

func trustRow() row {
	return row{"What should not happen", []panel{
		{title: "Results refused, claims lost", unit: perSec, description: "Refused: another result was first. Lost: another worker took a request over, because this one was cut off. More than a few: requests are paid for twice.", queries: []query{
			{"sum(rate(gemini_results_refused_total{" + job + "}" + rates + "))", "results refused"}, {"sum(rate(gemini_claims_lost_total{" + job + "}" + rates + "))", "claims lost"},
		}},
		{title: "Dead letters evicted, spans lost", unit: perSec, description: "Evicted: their stream is full. Lost: the collector is away or too slow; no request suffers.", queries: []query{
			{"max(rate(gemini_deadletters_evicted_total{" + job + "}" + rates + "))", "dead letters evicted"}, {"sum(rate(gemini_spans_lost_total{" + job + "}" + rates + "))", "spans lost"},
		}},
	}}
}
