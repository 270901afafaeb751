/* A libupnp control point that reads the descriptions of a device and calls its actions.
 *
 *   call_pupnp INTERFACE
 *
 * On start, one line: {"ready": true}. Commands; the words behind a command are separated by tabs:
 *   device URL   {"device": {TYPE: {"actions": {ACTION: {ARGUMENT: "in VARIABLE"}}}}}
 *   watch TYPE   subscribes to the service, {"watching": TYPE}
 *   call TYPE ACTION NAME=TEXT …
 *                {"answer": {NAME: TEXT}}; {"fault": code, "why": …}, also with a code of
 *                libupnp, which is negative
 *   quit
 *
 * Unasked: {"event": VARIABLE, "value": TEXT}.
 */
#include <pthread.h>
#include <stdlib.h>
#include <upnp/upnp.h>
#include <upnp/upnptools.h>

#include "blocking_lines.h"

static UpnpClient_Handle control_point;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char description_url[512];
static IXML_Document *description;

/* The text of the child of this name, or "". */
static const char *text_of(IXML_Node *parent, const char *name)
{
	for (IXML_Node *each = ixmlNode_getFirstChild(parent); each; each = ixmlNode_getNextSibling(each)) {
		const char *called = ixmlNode_getNodeName(each);

		if (called && strcmp(called, name) == 0)
			return ixmlNode_getNodeValue(ixmlNode_getFirstChild(each));
	}
	return "";
}

/* libupnp calls from its own threads. */
static int on_event(Upnp_EventType type, const void *event, void *cookie)
{
	IXML_NodeList *properties;

	(void)cookie;
	if (type != UPNP_EVENT_RECEIVED)
		return 0;
	properties = ixmlDocument_getElementsByTagName(UpnpEvent_get_ChangedVariables(event), "e:property");
	pthread_mutex_lock(&lock);
	for (unsigned long i = 0; i < ixmlNodeList_length(properties); i++) {
		IXML_Node *variable = ixmlNode_getFirstChild(ixmlNodeList_item(properties, i));
		IXML_Node *text = ixmlNode_getFirstChild(variable);

		printf("{\"event\":");
		print_json_string(ixmlNode_getNodeName(variable));
		printf(",\"value\":");
		print_json_string(text ? ixmlNode_getNodeValue(text) : "");
		end_line();
	}
	pthread_mutex_unlock(&lock);
	ixmlNodeList_free(properties);
	return 0;
}

/* The absolute URL in the element of this name, of the service of this type. */
static int url_of(const char *type, const char *name, char *url)
{
	IXML_NodeList *services = ixmlDocument_getElementsByTagName(description, "service");
	int found = 0;

	for (unsigned long i = 0; i < ixmlNodeList_length(services); i++) {
		IXML_Node *service = ixmlNodeList_item(services, i);

		if (strcmp(text_of(service, "serviceType"), type) == 0)
			found = UpnpResolveURL(description_url, text_of(service, name), url) == UPNP_E_SUCCESS;
	}
	ixmlNodeList_free(services);
	return found;
}

static void print_action(IXML_Node *action)
{
	IXML_NodeList *arguments = ixmlElement_getElementsByTagName((IXML_Element *)action, "argument");

	print_json_string(text_of(action, "name"));
	printf(":{");
	for (unsigned long i = 0; i < ixmlNodeList_length(arguments); i++) {
		IXML_Node *argument = ixmlNodeList_item(arguments, i);
		char text[512];

		snprintf(text, sizeof text, "%s %s", text_of(argument, "direction"),
			 text_of(argument, "relatedStateVariable"));
		printf("%s", i ? "," : "");
		print_json_string(text_of(argument, "name"));
		putchar(':');
		print_json_string(text);
	}
	putchar('}');
	ixmlNodeList_free(arguments);
}

static void print_service(const char *type, int first)
{
	IXML_Document *scpd;
	IXML_NodeList *actions;
	char url[512];

	printf("%s", first ? "" : ",");
	print_json_string(type);
	printf(":{\"actions\":{");
	if (url_of(type, "SCPDURL", url) && UpnpDownloadXmlDoc(url, &scpd) == UPNP_E_SUCCESS) {
		actions = ixmlDocument_getElementsByTagName(scpd, "action");
		for (unsigned long i = 0; i < ixmlNodeList_length(actions); i++) {
			printf("%s", i ? "," : "");
			print_action(ixmlNodeList_item(actions, i));
		}
		ixmlNodeList_free(actions);
		ixmlDocument_free(scpd);
	}
	printf("}}");
}

static void read_device(const char *url)
{
	int result = UpnpDownloadXmlDoc(url, &description);
	IXML_NodeList *types;

	if (result != UPNP_E_SUCCESS) {
		fail("the description", UpnpGetErrorMessage(result));
		return;
	}
	snprintf(description_url, sizeof description_url, "%s", url);
	types = ixmlDocument_getElementsByTagName(description, "serviceType");
	pthread_mutex_lock(&lock);
	printf("{\"device\":{");
	for (unsigned long i = 0; i < ixmlNodeList_length(types); i++)
		print_service(ixmlNode_getNodeValue(ixmlNode_getFirstChild(ixmlNodeList_item(types, i))), i == 0);
	putchar('}');
	end_line();
	pthread_mutex_unlock(&lock);
	ixmlNodeList_free(types);
}

static void watch(const char *type)
{
	char url[512];
	int seconds = 1800;
	Upnp_SID sid;

	if (!url_of(type, "eventSubURL", url) ||
	    UpnpSubscribe(control_point, url, &seconds, sid) != UPNP_E_SUCCESS) {
		fail("watch", type);
		return;
	}
	pthread_mutex_lock(&lock);
	printf("{\"watching\":");
	print_json_string(type);
	end_line();
	pthread_mutex_unlock(&lock);
}

static void print_answer(IXML_Document *document)
{
	IXML_Node *response = ixmlNode_getFirstChild(&document->n);
	const char *comma = "";

	printf("{\"answer\":{");
	for (IXML_Node *each = ixmlNode_getFirstChild(response); each; each = ixmlNode_getNextSibling(each)) {
		IXML_Node *text = ixmlNode_getFirstChild(each);

		if (ixmlNode_getNodeType(each) != eELEMENT_NODE)
			continue;
		printf("%s", comma);
		print_json_string(ixmlNode_getNodeName(each));
		putchar(':');
		print_json_string(text ? ixmlNode_getNodeValue(text) : "");
		comma = ",";
	}
	putchar('}');
	end_line();
}

static void call(char *arguments)
{
	char *type = strtok(arguments, "\t"), *action = strtok(NULL, "\t"), url[512];
	IXML_Document *request, *answer = NULL;
	int result;

	if (!action || !url_of(type, "controlURL", url)) {
		fail("call", "no action, or no such service");
		return;
	}
	request = UpnpMakeAction(action, type, 0, NULL);
	for (char *word; (word = strtok(NULL, "\t"));) {
		char *text = strchr(word, '=');

		*text++ = '\0';
		UpnpAddToAction(&request, action, type, word, text);
	}
	result = UpnpSendAction(control_point, url, type, NULL, request, &answer);
	pthread_mutex_lock(&lock);
	if (result == UPNP_E_SUCCESS) {
		print_answer(answer);
	} else {
		printf("{\"fault\":%d,\"why\":", result);
		print_json_string(result < 0 ? UpnpGetErrorMessage(result) : "");
		end_line();
	}
	pthread_mutex_unlock(&lock);
	ixmlDocument_free(request);
	if (answer)
		ixmlDocument_free(answer);
}

static void on_line(const char *line)
{
	const char *rest;

	if ((rest = argument_of(line, "device"))) {
		read_device(rest);
	} else if ((rest = argument_of(line, "watch"))) {
		watch(rest);
	} else if ((rest = argument_of(line, "call"))) {
		char *copy = strdup(rest);

		call(copy);
		free(copy);
	} else {
		fail("no such command", line);
	}
}

int main(int argc, char **argv)
{
	int result;

	if (argc != 2)
		return fail("usage", "call_pupnp INTERFACE");
	result = UpnpInit2(argv[1], 0);
	if (result == UPNP_E_SUCCESS)
		result = UpnpRegisterClient(on_event, NULL, &control_point);
	if (result != UPNP_E_SUCCESS)
		return fail("start", UpnpGetErrorMessage(result));
	printf("{\"ready\":true");
	end_line();
	run_until_quit(on_line);
	UpnpUnRegisterClient(control_point);
	UpnpFinish();
	return 0;
}
