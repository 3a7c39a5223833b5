package bus

import "gemini-client/events"

// admin are the rights of people on call. What would change something is tried so that
// the server refuses it to everybody.
func (t rightsTable) admin() []Right {
	n, id := t.names, t.id
	plain, isolated := n.Cancels()
	manage := func(at, stream, why string) Right {
		return says(t.api(at+".*"), t.api(at+"."+stream), why)
	}
	rights := []Right{
		{Subject: t.api("INFO"), probe: t.api("INFO"), For: "a look at what the account may store"},
		says(t.api("STREAM.NAMES"), t.api("STREAM.NAMES"), "tenants"),
		manage("STREAM.CREATE", n.RequestsStream(), "provision"), manage("STREAM.UPDATE", n.RequestsStream(), "provision"),
		manage("STREAM.PURGE", n.RequestsStream(), "tenants remove"),
		says(t.api("CONSUMER.CREATE.>"), t.api("CONSUMER.CREATE."+n.RequestsStream()+"."+Durable+"."+n.RequestQueue), "provision, deadletters"),
		says(t.api("CONSUMER.DELETE.>"), t.api("CONSUMER.DELETE."+n.RequestsStream()+"."+Durable), "tenants remove"),
		says(t.api("CONSUMER.PAUSE.>"), t.api("CONSUMER.PAUSE."+n.RequestsStream()+"."+Durable), "pause, resume"),
		manage("STREAM.MSG.DELETE", n.DeadlettersStream(), "deadletters replay, deadletters purge"),
		says(n.Retries(), n.Retries(), "deadletters replay"), says(n.Tenant("*"), n.Tenant(id), "tenants set, tenants remove"),
		says(plain, n.Cancel(id), "cancel"), says(isolated, n.Of("none").Cancel(id), "cancel --tenant"), says(n.Status(), n.Status(), "status"),
	}
	for _, stream := range []string{n.RequestsStream(), n.RetriesStream(), n.ResponsesStream(), n.ClaimsStream(), n.DeadlettersStream(), n.CancelsStream()} {
		rights = append(rights, t.info(stream, "status, provision"), t.message(stream, "status"))
	}
	return append(rights, spare(t.direct(n.TenantsStream(), "tenants"), t.direct(n.BudgetsStream(), "usage"))...)
}

// backend are the rights of who asks. Its durable reader has a name that nobody here
// knows.
func (t rightsTable) backend(callback string) []Right {
	n, id := t.names, t.id
	requests, slow := n.Requests(events.DefaultTenant, events.LaneInteractive), n.Requests(events.DefaultTenant, events.LaneBatch)
	plain, _ := n.Cancels()
	chunks, about := "$O."+n.BodiesBucket()+".C.", "$O."+n.BodiesBucket()+".M."
	result := t.directOf(n.ResponsesStream(), callback+".*.*", events.Completed(callback, id), "a result that is stored")
	return append([]Right{stores(n.RequestsStream(), requests, requests, "requests"), hears(n.ResponsesAll(), "results as they come")}, spare(
		stores(n.RequestsStream(), slow, slow, "requests of the slow lane"), says(plain, n.Cancel(id), "cancelling requests"),
		hears(n.Deltas("*"), "answers while they are written"), result, t.direct(n.BodiesStream(), "results too large for a message"),
		stores(n.BodiesStream(), chunks+"*", chunks+id, "prompts too large for a message"),
		stores(n.BodiesStream(), about+"*", about+id, "prompts too large for a message"),
	)...)
}
