/* A libupnp control point that tells each NOTIFY it gets, as libupnp understood it.
 *
 *   sub_pupnp INTERFACE PORT
 *
 * libupnp refuses the interface lo and ports below 49152. Commands and lines are those of
 * sub_gupnp, with these differences:
 *   subscribe   answers when libupnp has been answered: {"subscribing": granted, "refused": …}
 *   a NOTIFY    {"notify": n, "subscription": SID, "seq": SEQ, "changes": {…}}
 *   a loss      {"lost": SID, "why": …}
 */
#include <pthread.h>
#include <stdlib.h>
#include <upnp/upnp.h>
#include <upnp/upnptools.h>

#include "blocking_lines.h"

static UpnpClient_Handle control_point;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long notifies, lost, subscriptions;
static int quiet;
static Upnp_SID *sids;

static void print_changes(IXML_Document *propertyset)
{
	IXML_Node *root = ixmlNode_getFirstChild(&propertyset->n);
	const char *comma = "";

	for (IXML_Node *property = ixmlNode_getFirstChild(root); property; property = ixmlNode_getNextSibling(property)) {
		IXML_Node *variable = ixmlNode_getFirstChild(property);

		for (; variable; variable = ixmlNode_getNextSibling(variable)) {
			IXML_Node *text = ixmlNode_getFirstChild(variable);

			if (ixmlNode_getNodeType(variable) != eELEMENT_NODE)
				continue;
			printf("%s", comma);
			print_json_string(ixmlNode_getNodeName(variable));
			putchar(':');
			print_json_string(text ? ixmlNode_getNodeValue(text) : "");
			comma = ",";
		}
	}
}

/* libupnp calls from its own threads. */
static int on_event(Upnp_EventType type, const void *event, void *cookie)
{
	(void)cookie;
	pthread_mutex_lock(&lock);
	if (type == UPNP_EVENT_RECEIVED) {
		notifies++;
		if (!quiet) {
			printf("{\"notify\":%ld,\"subscription\":", notifies);
			print_json_string(UpnpEvent_get_SID_cstr(event));
			printf(",\"seq\":%d,\"changes\":{", UpnpEvent_get_EventKey(event));
			print_changes(UpnpEvent_get_ChangedVariables(event));
			putchar('}');
			end_line();
		}
	} else if (type == UPNP_EVENT_AUTORENEWAL_FAILED || type == UPNP_EVENT_SUBSCRIPTION_EXPIRED) {
		lost++;
		printf("{\"lost\":");
		print_json_string(UpnpEventSubscribe_get_SID_cstr(event));
		printf(",\"why\":\"%s\"", type == UPNP_EVENT_AUTORENEWAL_FAILED ? "renewal failed" : "expired");
		end_line();
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

static void subscribe(const char *arguments)
{
	char base_url[256], event_path[256], url[512];
	long count = 1, granted = 0;
	size_t length;

	if (sscanf(arguments, "%255s %255s %ld", base_url, event_path, &count) < 2) {
		fail("usage", "subscribe BASE-URL EVENT-PATH [COUNT]");
		return;
	}
	length = strlen(base_url);
	if (length && base_url[length - 1] == '/')
		base_url[length - 1] = '\0';
	snprintf(url, sizeof url, "%s%s", base_url, event_path);
	sids = realloc(sids, (subscriptions + count) * sizeof *sids);
	for (long i = 0; i < count; i++) {
		int seconds = 1800;

		if (UpnpSubscribe(control_point, url, &seconds, sids[subscriptions]) == UPNP_E_SUCCESS) {
			subscriptions++;
			granted++;
		}
	}
	pthread_mutex_lock(&lock);
	printf("{\"subscribing\":%ld,\"refused\":%ld", granted, count - granted);
	end_line();
	pthread_mutex_unlock(&lock);
}

static void unsubscribe(void)
{
	long ended = 0;

	for (long i = 0; i < subscriptions; i++)
		ended += UpnpUnSubscribe(control_point, sids[i]) == UPNP_E_SUCCESS;
	subscriptions = 0;
	pthread_mutex_lock(&lock);
	printf("{\"unsubscribed\":%ld", ended);
	end_line();
	pthread_mutex_unlock(&lock);
}

static void on_line(const char *line)
{
	const char *rest;

	if ((rest = argument_of(line, "subscribe"))) {
		subscribe(rest);
		return;
	}
	if (argument_of(line, "unsubscribe")) {
		unsubscribe();
		return;
	}
	pthread_mutex_lock(&lock);
	if (argument_of(line, "quiet")) {
		quiet = 1;
		printf("{\"quiet\":true");
		end_line();
	} else if (argument_of(line, "count")) {
		printf("{\"notifies\":%ld,\"lost\":%ld,\"resident_kib\":%ld", notifies, lost, resident_kib());
		end_line();
	} else {
		fail("no such command", line);
	}
	pthread_mutex_unlock(&lock);
}

int main(int argc, char **argv)
{
	int result;

	if (argc != 3)
		return fail("usage", "sub_pupnp INTERFACE PORT");
	result = UpnpInit2(argv[1], atoi(argv[2]));
	if (result != UPNP_E_SUCCESS)
		return fail("start", UpnpGetErrorMessage(result));
	result = UpnpRegisterClient(on_event, NULL, &control_point);
	if (result != UPNP_E_SUCCESS)
		return fail("control point", UpnpGetErrorMessage(result));
	printf("{\"ready\":\"http://%s:%d/\"", UpnpGetServerIpAddress(), UpnpGetServerPort());
	end_line();
	run_until_quit(on_line);
	UpnpUnRegisterClient(control_point);
	UpnpFinish();
	return 0;
}
