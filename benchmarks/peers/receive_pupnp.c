/* A libupnp control point that takes each event as a number and counts it.
 *
 *   receive_pupnp INTERFACE PORT
 *
 * libupnp refuses the interface lo and ports below 49152. Lines are those of receive_gupnp, but
 * "subscribed" is the number of subscriptions that were granted.
 */
#include <pthread.h>
#include <stdlib.h>
#include <upnp/upnp.h>
#include <upnp/upnptools.h>

#include "blocking_lines.h"
#include "received.h"

#define SUBSCRIPTIONS 1024

static UpnpClient_Handle control_point;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	Upnp_SID sid;
	long next; /* as count_event has it */
} subscriptions[SUBSCRIPTIONS];
static long subscribed;

/* The initial event may come before UpnpSubscribe returns, so it may be the first to name a SID. */
static long *next_of(const char *sid)
{
	long i = 0;

	while (i < subscribed && strcmp(subscriptions[i].sid, sid) != 0)
		i++;
	if (i == SUBSCRIPTIONS)
		return NULL;
	if (i == subscribed) {
		strncpy(subscriptions[i].sid, sid, sizeof(Upnp_SID) - 1);
		subscriptions[i].next = -1;
		subscribed++;
	}
	return &subscriptions[i].next;
}

static double value_of(IXML_Document *propertyset)
{
	IXML_Node *property = ixmlNode_getFirstChild(ixmlNode_getFirstChild(&propertyset->n));

	while (property && ixmlNode_getNodeType(property) != eELEMENT_NODE)
		property = ixmlNode_getNextSibling(property);
	return strtod(ixmlNode_getNodeValue(ixmlNode_getFirstChild(ixmlNode_getFirstChild(property))), NULL);
}

/* libupnp calls from its own threads. */
static int on_event(Upnp_EventType type, const void *event, void *cookie)
{
	(void)cookie;
	if (type == UPNP_EVENT_RECEIVED) {
		double value = value_of(UpnpEvent_get_ChangedVariables(event));
		long *next;

		pthread_mutex_lock(&lock);
		if ((next = next_of(UpnpEvent_get_SID_cstr(event))))
			count_event(value, next);
		pthread_mutex_unlock(&lock);
	} else if (type == UPNP_EVENT_AUTORENEWAL_FAILED || type == UPNP_EVENT_SUBSCRIPTION_EXPIRED) {
		fail("subscription lost", UpnpEventSubscribe_get_SID_cstr(event));
	}
	return 0;
}

static void subscribe(const char *base_url, long count)
{
	char url[512];
	long granted = 0;

	snprintf(url, sizeof url, "%s/event", base_url);
	for (long i = 0; i < count; i++) {
		int seconds = 1800;
		Upnp_SID sid;

		granted += UpnpSubscribe(control_point, url, &seconds, sid) == UPNP_E_SUCCESS;
	}
	printf("{\"subscribed\":%ld", granted);
	end_line();
}

static void on_line(const char *line)
{
	const char *rest;
	char base_url[256];
	long count;

	if ((rest = argument_of(line, "subscribe")) && sscanf(rest, "%255s %ld", base_url, &count) == 2) {
		subscribe(base_url, count);
	} else if (argument_of(line, "count")) {
		pthread_mutex_lock(&lock);
		print_count();
		pthread_mutex_unlock(&lock);
	} else {
		fail("no such command", line);
	}
}

int main(int argc, char **argv)
{
	int result;

	if (argc != 3)
		return fail("usage", "receive_pupnp INTERFACE PORT");
	result = UpnpInit2(argv[1], atoi(argv[2]));
	if (result == UPNP_E_SUCCESS)
		result = UpnpRegisterClient(on_event, NULL, &control_point);
	if (result != UPNP_E_SUCCESS)
		return fail("start", UpnpGetErrorMessage(result));
	printf("{\"ready\":\"libupnp " VERSION "\"");
	end_line();
	run_until_quit(on_line);
	UpnpUnRegisterClient(control_point);
	UpnpFinish();
	return 0;
}
