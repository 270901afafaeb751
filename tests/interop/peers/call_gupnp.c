/* A GUPnP control point that finds a device, reads its descriptions and calls its actions.
 *
 *   call_gupnp IP
 *
 * On start, one line: {"ready": true}. Commands; the words behind a command are separated by tabs:
 *   device URL   waits until SSDP has found the device with this description, and reads all of it
 *                {"device": {TYPE: {"actions": {ACTION: {ARGUMENT: "in VARIABLE"}},
 *                "variables": {VARIABLE: type of GLib}}}}
 *   watch TYPE   subscribes to the service, {"watching": TYPE}
 *   call TYPE ACTION NAME=TEXT …
 *                {"answer": {NAME: TEXT}} or {"fault": code, "why": …}
 *   quit
 *
 * Unasked: {"event": VARIABLE, "value": TEXT}.
 */
#include <libgupnp/gupnp.h>
#include <stdlib.h>

#include "glib_lines.h"

static GUPnPContext *context;
static GUPnPControlPoint *control_point;
static char *description_url;
static guint unread; /* service descriptions */

typedef struct {
	GUPnPServiceProxy *proxy;
	GUPnPServiceIntrospection *introspection;
} Service;

static GHashTable *services; /* by type */

static void print_value(const GValue *value)
{
	GValue text = G_VALUE_INIT;

	g_value_init(&text, G_TYPE_STRING);
	if (G_VALUE_HOLDS_BOOLEAN(value)) {
		print_json_string(g_value_get_boolean(value) ? "1" : "0");
	} else {
		g_value_transform(value, &text);
		print_json_string(g_value_get_string(&text));
	}
	g_value_unset(&text);
}

static void print_actions(GUPnPServiceIntrospection *introspection)
{
	printf("\"actions\":{");
	for (const GList *each = gupnp_service_introspection_list_actions(introspection); each; each = each->next) {
		const GUPnPServiceActionInfo *action = each->data;

		print_json_string(action->name);
		printf(":{");
		for (const GList *next = action->arguments; next; next = next->next) {
			const GUPnPServiceActionArgInfo *argument = next->data;
			gboolean out = argument->direction == GUPNP_SERVICE_ACTION_ARG_DIRECTION_OUT;
			char *text = g_strdup_printf("%s %s", out ? "out" : "in", argument->related_state_variable);

			print_json_string(argument->name);
			putchar(':');
			print_json_string(text);
			if (next->next)
				putchar(',');
			g_free(text);
		}
		printf("}%s", each->next ? "," : "");
	}
	putchar('}');
}

static void print_variables(GUPnPServiceIntrospection *introspection)
{
	printf("\"variables\":{");
	for (const GList *each = gupnp_service_introspection_list_state_variables(introspection); each; each = each->next) {
		const GUPnPServiceStateVariableInfo *variable = each->data;

		print_json_string(variable->name);
		putchar(':');
		print_json_string(g_type_name(variable->type));
		if (each->next)
			putchar(',');
	}
	putchar('}');
}

static void print_services(void)
{
	GHashTableIter each;
	gpointer type, value;
	const char *comma = "";

	printf("{\"device\":{");
	g_hash_table_iter_init(&each, services);
	while (g_hash_table_iter_next(&each, &type, &value)) {
		Service *service = value;

		printf("%s", comma);
		print_json_string(type);
		printf(":{");
		print_actions(service->introspection);
		putchar(',');
		print_variables(service->introspection);
		putchar('}');
		comma = ",";
	}
	putchar('}');
	end_line();
}

static void on_introspected(GObject *source, GAsyncResult *result, gpointer data)
{
	GError *error = NULL;
	Service *service = data;

	service->introspection = gupnp_service_info_introspect_finish(GUPNP_SERVICE_INFO(source), result, &error);
	if (!service->introspection) {
		fail("the description of a service", error->message);
		g_clear_error(&error);
	} else if (--unread == 0) {
		print_services();
	}
}

static void on_available(GUPnPControlPoint *from, GUPnPDeviceProxy *device)
{
	GList *proxies;

	(void)from;
	if (strcmp(gupnp_device_info_get_location(GUPNP_DEVICE_INFO(device)), description_url) != 0 ||
	    g_hash_table_size(services))
		return;
	proxies = gupnp_device_info_list_services(GUPNP_DEVICE_INFO(device));
	unread = g_list_length(proxies);
	for (GList *each = proxies; each; each = each->next) {
		Service *service = g_new0(Service, 1);

		service->proxy = each->data;
		g_hash_table_insert(services,
				    g_strdup(gupnp_service_info_get_service_type(each->data)), service);
		gupnp_service_info_introspect_async(each->data, NULL, on_introspected, service);
	}
	g_list_free(proxies);
}

static void find(const char *url)
{
	description_url = g_strdup(url);
	control_point = gupnp_control_point_new(context, "upnp:rootdevice");
	g_signal_connect(control_point, "device-proxy-available", G_CALLBACK(on_available), NULL);
	gssdp_resource_browser_set_active(GSSDP_RESOURCE_BROWSER(control_point), TRUE);
}

static GType type_of(const Service *service, const char *variable)
{
	const GUPnPServiceStateVariableInfo *info =
		gupnp_service_introspection_get_state_variable(service->introspection, variable);
	GType type = info ? info->type : G_TYPE_STRING;

	/* The others are texts to GUPnP. */
	return type == G_TYPE_BOOLEAN || type == G_TYPE_INT || type == G_TYPE_UINT ? type : G_TYPE_STRING;
}

static void on_event(GUPnPServiceProxy *from, const char *variable, GValue *value, gpointer data)
{
	(void)from, (void)data;
	printf("{\"event\":");
	print_json_string(variable);
	printf(",\"value\":");
	print_value(value);
	end_line();
}

static void watch(const char *type, const Service *service)
{
	const GList *each = gupnp_service_introspection_list_state_variables(service->introspection);

	for (; each; each = each->next) {
		const GUPnPServiceStateVariableInfo *variable = each->data;

		if (variable->send_events)
			gupnp_service_proxy_add_notify(service->proxy, variable->name,
						       type_of(service, variable->name), on_event, NULL);
	}
	gupnp_service_proxy_set_subscribed(service->proxy, TRUE);
	printf("{\"watching\":");
	print_json_string(type);
	end_line();
}

static const GUPnPServiceActionArgInfo *argument_called(const GUPnPServiceActionInfo *action, const char *name)
{
	for (const GList *each = action ? action->arguments : NULL; each; each = each->next) {
		const GUPnPServiceActionArgInfo *argument = each->data;

		if (strcmp(argument->name, name) == 0)
			return argument;
	}
	return NULL;
}

static GValue *value_of(const Service *service, const GUPnPServiceActionArgInfo *argument,
			const char *text)
{
	GValue *value = g_new0(GValue, 1);

	g_value_init(value, argument ? type_of(service, argument->related_state_variable) : G_TYPE_STRING);
	if (G_VALUE_HOLDS_BOOLEAN(value))
		g_value_set_boolean(value, strcmp(text, "1") == 0);
	else if (G_VALUE_HOLDS_INT(value))
		g_value_set_int(value, strtol(text, NULL, 10));
	else if (G_VALUE_HOLDS_UINT(value))
		g_value_set_uint(value, strtoul(text, NULL, 10));
	else
		g_value_set_string(value, text);
	return value;
}

static void free_value(gpointer data)
{
	g_value_unset(data);
	g_free(data);
}

static void print_answer(GHashTable *answer)
{
	GHashTableIter each;
	gpointer name, value;
	const char *comma = "";

	printf("{\"answer\":{");
	g_hash_table_iter_init(&each, answer);
	while (g_hash_table_iter_next(&each, &name, &value)) {
		printf("%s", comma);
		print_json_string(name);
		putchar(':');
		print_value(value);
		comma = ",";
	}
	putchar('}');
	end_line();
}

/* words: the action and its arguments. */
static void call(const Service *service, char **words)
{
	const GUPnPServiceActionInfo *action =
		gupnp_service_introspection_get_action(service->introspection, words[0]);
	GHashTable *answer = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_value);
	GList *names = NULL, *values = NULL;
	GUPnPServiceProxyAction *call;
	GError *error = NULL;

	for (char **word = words + 1; *word; word++) {
		char *text = strchr(*word, '=');

		*text++ = '\0';
		names = g_list_append(names, *word);
		values = g_list_append(values, value_of(service, argument_called(action, *word), text));
	}
	call = gupnp_service_proxy_action_new_from_list(words[0], names, values);
	for (const GList *each = action ? action->arguments : NULL; each; each = each->next) {
		const GUPnPServiceActionArgInfo *argument = each->data;

		if (argument->direction == GUPNP_SERVICE_ACTION_ARG_DIRECTION_OUT) {
			GValue *value = g_new0(GValue, 1);

			g_value_init(value, type_of(service, argument->related_state_variable));
			g_hash_table_insert(answer, argument->name, value);
		}
	}
	gupnp_service_proxy_call_action(service->proxy, call, NULL, &error);
	if (!error)
		gupnp_service_proxy_action_get_result_hash(call, answer, &error);
	if (error) {
		printf("{\"fault\":%d,\"why\":", error->code);
		print_json_string(error->message);
		end_line();
		g_clear_error(&error);
	} else {
		print_answer(answer);
	}
	g_hash_table_unref(answer);
	gupnp_service_proxy_action_unref(call);
	g_list_free(names);
	g_list_free_full(values, free_value);
}

static void on_line(const char *line)
{
	const char *rest;
	char **words = NULL;
	Service *service = NULL;

	if ((rest = argument_of(line, "device"))) {
		find(rest);
		return;
	}
	if ((rest = argument_of(line, "watch")) || (rest = argument_of(line, "call"))) {
		words = g_strsplit(rest, "\t", -1);
		service = g_hash_table_lookup(services, words[0]);
	}
	if (!service)
		fail("no such command, or no such service", line);
	else if (argument_of(line, "watch"))
		watch(words[0], service);
	else
		call(service, words + 1);
	g_strfreev(words);
}

int main(int argc, char **argv)
{
	GError *error = NULL;

	if (argc != 2)
		return fail("usage", "call_gupnp IP");
	context = gupnp_context_new_full(NULL, g_inet_address_new_from_string(argv[1]), 0,
					 GSSDP_UDA_VERSION_1_0, &error);
	if (!context)
		return fail("context", error->message);
	services = g_hash_table_new(g_str_hash, g_str_equal);
	printf("{\"ready\":true");
	end_line();
	run_until_quit(on_line);
	return 0;
}
