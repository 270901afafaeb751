/* A GUPnP device whose service has the evented variable Value, and Mark where the service
 * description in WEB-DIRECTORY declares that too.
 *
 *   pub_gupnp IP PORT WEB-DIRECTORY
 *
 * On start, one line: {"ready": base URL, "event_url": …}. Then, a command a line:
 *   set TEXT             Value = TEXT, one event            {"set": TEXT}
 *   mark TEXT            Mark = TEXT, one event             {"mark": TEXT}
 *   burst COUNT [PACE]   COUNT events, PACE µs apart, whose value is CLOCK_MONOTONIC in ns
 *                                                           {"fired": COUNT, "seconds": …, "last": TEXT}
 *   memory               {"resident_kib": …, "failed": NOTIFYs that no callback took}
 *   quit                 says ssdp:byebye and ends
 */
#include <libgupnp/gupnp.h>
#include <stdlib.h>

#include "glib_lines.h"

#define SERVICE_TYPE "urn:propchange-test:service:Bench:1"

static GUPnPService *service;
static char *value, *mark;
static long failed;
static struct {
	long count, left;
	long long started;
} burst;

static void on_query(GUPnPService *source, const char *variable, GValue *answer, gpointer data)
{
	(void)source, (void)data;
	g_value_init(answer, G_TYPE_STRING);
	g_value_set_string(answer, strcmp(variable, "Mark") == 0 ? mark : value);
}

static void on_failed(GUPnPService *source, const GList *callbacks, const GError *error, gpointer data)
{
	(void)source, (void)callbacks, (void)error, (void)data;
	failed++;
}

static void set_variable(const char *name, char **variable, const char *text)
{
	g_free(*variable);
	*variable = g_strdup(text);
	gupnp_service_notify(service, name, G_TYPE_STRING, *variable, NULL);
}

static void set_value(const char *text)
{
	set_variable("Value", &value, text);
}

static void set_value_to_now(void)
{
	char *text = g_strdup_printf("%lld", monotonic_ns());

	set_value(text);
	g_free(text);
}

static gboolean fire_next(gpointer data)
{
	(void)data;
	set_value_to_now();
	if (--burst.left > 0)
		return G_SOURCE_CONTINUE;
	printf("{\"fired\":%ld,\"seconds\":%.6f,\"last\":", burst.count, (monotonic_ns() - burst.started) / 1e9);
	print_json_string(value);
	end_line();
	return G_SOURCE_REMOVE;
}

static void fire(long count, long pace_us)
{
	burst.count = burst.left = count > 0 ? count : 1;
	burst.started = monotonic_ns();
	if (pace_us > 0)
		g_timeout_add(MAX(pace_us / 1000, 1), fire_next, NULL);
	else
		while (fire_next(NULL) == G_SOURCE_CONTINUE)
			continue;
}

static void on_line(const char *line)
{
	const char *rest;

	if ((rest = argument_of(line, "set"))) {
		set_value(rest);
		printf("{\"set\":");
		print_json_string(rest);
		end_line();
	} else if ((rest = argument_of(line, "mark"))) {
		set_variable("Mark", &mark, rest);
		printf("{\"mark\":");
		print_json_string(rest);
		end_line();
	} else if ((rest = argument_of(line, "burst"))) {
		char *pace;
		long count = strtol(rest, &pace, 10);

		fire(count, strtol(pace, NULL, 10));
	} else if (argument_of(line, "memory")) {
		printf("{\"resident_kib\":%ld,\"failed\":%ld", resident_kib(), failed);
		end_line();
	} else {
		fail("no such command", line);
	}
}

/* GUPnP reads its own service description over HTTP. Until it has, its initial events are empty;
 * it asked before we do, so once we are answered, it has been. */
static void on_introspected(GObject *source, GAsyncResult *result, gpointer base_url)
{
	GUPnPServiceInfo *info = GUPNP_SERVICE_INFO(source);
	GUPnPServiceIntrospection *found = gupnp_service_info_introspect_finish(info, result, NULL);
	char *event_url = gupnp_service_info_get_event_subscription_url(info);

	if (!found) {
		fail("web", "no usable scpd.xml");
		exit(1);
	}
	g_object_unref(found);
	printf("{\"ready\":");
	print_json_string(base_url);
	printf(",\"event_url\":");
	print_json_string(event_url);
	end_line();
	g_free(event_url);
}

int main(int argc, char **argv)
{
	GError *error = NULL;
	GUPnPContext *context;
	GUPnPRootDevice *device;
	char *base_url;

	if (argc != 4)
		return fail("usage", "pub_gupnp IP PORT WEB-DIRECTORY");
	value = g_strdup("0");
	mark = g_strdup("0");
	context = gupnp_context_new_full(NULL, g_inet_address_new_from_string(argv[1]), atoi(argv[2]),
					 GSSDP_UDA_VERSION_1_0, &error);
	if (!context)
		return fail("context", error->message);
	device = gupnp_root_device_new(context, "desc.xml", argv[3], &error);
	if (!device)
		return fail("device", error->message);
	service = GUPNP_SERVICE(gupnp_device_info_get_service(GUPNP_DEVICE_INFO(device), SERVICE_TYPE));
	g_signal_connect(service, "query-variable", G_CALLBACK(on_query), NULL);
	g_signal_connect(service, "notify-failed", G_CALLBACK(on_failed), NULL);
	gupnp_root_device_set_available(device, TRUE);

	base_url = g_strdup_printf(strchr(argv[1], ':') ? "http://[%s]:%d/" : "http://%s:%d/", argv[1],
				   gupnp_context_get_port(context));
	gupnp_service_info_introspect_async(GUPNP_SERVICE_INFO(service), NULL, on_introspected, base_url);
	run_until_quit(on_line);
	g_object_unref(service);
	g_object_unref(device); /* says goodbye */
	g_object_unref(context);
	return 0;
}
