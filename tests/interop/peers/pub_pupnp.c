/* A libupnp device whose service has the evented variable Value, and Mark once that is set.
 *
 *   pub_pupnp INTERFACE PORT WEB-DIRECTORY [QUEUE-LENGTH]
 *
 * libupnp refuses the interface lo and ports below 49152. QUEUE-LENGTH lifts its limit of ten
 * waiting events per subscription. On start, one line: {"ready": base URL, "event_url": …}.
 * Commands and answers, and the goodbye, are those of pub_gupnp; memory tells
 * {"resident_kib": …, "accepted": subscriptions taken}. It has the actions GetValue and SetValue.
 */
#include <pthread.h>
#include <stdlib.h>
#include <upnp/upnp.h>
#include <upnp/upnptools.h>

#include "blocking_lines.h"

#define UDN "uuid:6a0c1d58-0b7e-4f0e-9d56-5d1b6f3c2a10"
#define SERVICE_ID "urn:propchange-test:serviceId:Bench"
#define SERVICE_TYPE "urn:propchange-test:service:Bench:1"

/* Exported by the library of Debian 12, declared in none of its headers. */
extern void UpnpSetEventQueueLimits(int length, int seconds);

static UpnpDevice_Handle device;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char value[4096] = "0", mark[4096]; /* as XML */
static char last[4096] = "0"; /* what SetValue has set, or the initial value */
static long accepted;

/* libupnp puts values into its event messages as they are: escaping is ours. */
static void escape(const char *text, char *xml, size_t size)
{
	size_t used = 0;

	for (; *text && used + sizeof "&amp;" < size; text++) {
		switch (*text) {
		case '&':
			used += sprintf(xml + used, "&amp;");
			break;
		case '<':
			used += sprintf(xml + used, "&lt;");
			break;
		case '>':
			used += sprintf(xml + used, "&gt;");
			break;
		default:
			xml[used++] = *text;
		}
	}
	xml[used] = '\0';
}

static int notify_of(const char *name, char *variable, const char *text)
{
	char xml[sizeof value];
	const char *names[] = { name }, *values[] = { xml };

	escape(text, xml, sizeof xml);
	pthread_mutex_lock(&lock);
	memcpy(variable, xml, sizeof xml);
	pthread_mutex_unlock(&lock);
	return UpnpNotify(device, UDN, SERVICE_ID, names, values, 1);
}

static int notify_all(const char *text)
{
	return notify_of("Value", value, text);
}

/* GetValue() -> CurrentValue. SetValue(NewValue) is the error 701 for an empty value. */
static void on_action(UpnpActionRequest *request)
{
	const char *name = UpnpActionRequest_get_ActionName_cstr(request);
	IXML_Document *answer = NULL;

	if (strcmp(name, "GetValue") == 0) {
		/* Unlike those of events, libupnp escapes the values of actions itself. */
		pthread_mutex_lock(&lock);
		UpnpAddToActionResponse(&answer, name, SERVICE_TYPE, "CurrentValue", last);
		pthread_mutex_unlock(&lock);
	} else if (strcmp(name, "SetValue") == 0) {
		IXML_Node *body = &UpnpActionRequest_get_ActionRequest(request)->n;
		IXML_Node *argument = ixmlNode_getFirstChild(ixmlNode_getFirstChild(body));
		IXML_Node *text = argument ? ixmlNode_getFirstChild(argument) : NULL;

		if (!text) {
			UpnpActionRequest_set_ErrCode(request, 701);
			UpnpActionRequest_strcpy_ErrStr(request, "An empty value is refused");
			return;
		}
		pthread_mutex_lock(&lock);
		snprintf(last, sizeof last, "%s", ixmlNode_getNodeValue(text));
		pthread_mutex_unlock(&lock);
		notify_all(ixmlNode_getNodeValue(text));
		answer = UpnpMakeActionResponse(name, SERVICE_TYPE, 0, NULL);
	} else {
		UpnpActionRequest_set_ErrCode(request, 401);
		UpnpActionRequest_strcpy_ErrStr(request, "Invalid Action");
		return;
	}
	UpnpActionRequest_set_ActionResult(request, answer);
	UpnpActionRequest_set_ErrCode(request, UPNP_E_SUCCESS);
}

static int on_event(Upnp_EventType type, const void *event, void *cookie)
{
	const char *names[] = { "Value", "Mark" };
	char xml[sizeof value], mark_xml[sizeof mark];
	const char *values[] = { xml, mark_xml };

	(void)cookie;
	if (type == UPNP_CONTROL_ACTION_REQUEST)
		on_action((UpnpActionRequest *)event);
	if (type != UPNP_EVENT_SUBSCRIPTION_REQUEST)
		return 0;
	pthread_mutex_lock(&lock);
	memcpy(xml, value, sizeof xml);
	memcpy(mark_xml, mark, sizeof mark_xml);
	if (UpnpAcceptSubscription(device, UpnpSubscriptionRequest_get_UDN_cstr(event),
				   UpnpSubscriptionRequest_get_ServiceId_cstr(event), names, values, *mark ? 2 : 1,
				   UpnpSubscriptionRequest_get_SID_cstr(event)) == UPNP_E_SUCCESS)
		accepted++;
	pthread_mutex_unlock(&lock);
	return 0;
}

static void wait_until(long long moment_ns)
{
	struct timespec moment = { moment_ns / 1000000000, moment_ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL) != 0)
		continue;
}

static void fire(long count, long pace_us)
{
	long long started = monotonic_ns();
	long refused = 0;
	char text[32] = "";

	for (long i = 0; i < count; i++) {
		if (pace_us > 0)
			wait_until(started + (i + 1) * pace_us * 1000LL);
		snprintf(text, sizeof text, "%lld", monotonic_ns());
		if (notify_all(text) != UPNP_E_SUCCESS)
			refused++;
	}
	printf("{\"fired\":%ld,\"refused\":%ld,\"seconds\":%.6f,\"last\":\"%s\"", count, refused,
	       (monotonic_ns() - started) / 1e9, text);
	end_line();
}

static void set(const char *command, const char *name, char *variable, const char *text)
{
	int result = notify_of(name, variable, text);

	if (result != UPNP_E_SUCCESS) {
		fail(command, UpnpGetErrorMessage(result));
		return;
	}
	printf("{\"%s\":", command);
	print_json_string(text);
	end_line();
}

static void on_line(const char *line)
{
	const char *rest;

	if ((rest = argument_of(line, "set"))) {
		set("set", "Value", value, rest);
	} else if ((rest = argument_of(line, "mark"))) {
		set("mark", "Mark", mark, rest);
	} else if ((rest = argument_of(line, "burst"))) {
		char *pace;
		long count = strtol(rest, &pace, 10);

		fire(count > 0 ? count : 1, strtol(pace, NULL, 10));
	} else if (argument_of(line, "memory")) {
		printf("{\"resident_kib\":%ld,\"accepted\":%ld", resident_kib(), accepted);
		end_line();
	} else {
		fail("no such command", line);
	}
}

int main(int argc, char **argv)
{
	char url[256];
	int result;

	if (argc != 4 && argc != 5)
		return fail("usage", "pub_pupnp INTERFACE PORT WEB-DIRECTORY [QUEUE-LENGTH]");
	result = UpnpInit2(argv[1], atoi(argv[2]));
	if (result != UPNP_E_SUCCESS)
		return fail("start", UpnpGetErrorMessage(result));
	if (argc == 5)
		UpnpSetEventQueueLimits(atoi(argv[4]), 1000000);
	UpnpSetWebServerRootDir(argv[3]);
	snprintf(url, sizeof url, "http://%s:%d/desc.xml", UpnpGetServerIpAddress(), UpnpGetServerPort());
	result = UpnpRegisterRootDevice(url, on_event, NULL, &device);
	if (result == UPNP_E_SUCCESS)
		result = UpnpSendAdvertisement(device, 1800);
	if (result != UPNP_E_SUCCESS)
		return fail("device", UpnpGetErrorMessage(result));
	printf("{\"ready\":\"http://%s:%d/\",\"event_url\":\"http://%s:%d/Bench/events\"",
	       UpnpGetServerIpAddress(), UpnpGetServerPort(), UpnpGetServerIpAddress(), UpnpGetServerPort());
	end_line();
	run_until_quit(on_line);
	UpnpUnRegisterRootDevice(device);
	UpnpFinish();
	return 0;
}
