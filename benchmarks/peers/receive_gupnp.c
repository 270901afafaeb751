/* A GUPnP control point that takes each event as a typed value and counts it.
 *
 *   receive_gupnp IP PORT
 *
 * On start: {"ready": version}. Commands:
 *   subscribe BASE-URL COUNT   COUNT subscriptions to BASE-URL/event   {"subscribed": COUNT}
 *   count                      {"events": …, "disorder": …}
 *   quit
 * It subscribes in the background: "subscribed" is said before the grants.
 */
#include <libgupnp/gupnp.h>
#include <libxml/parser.h>
#include <stdlib.h>

#include "glib_lines.h"
#include "received.h"

#define SERVICE_TYPE "urn:example-org:service:Thermometer:1"
#define DESCRIPTION \
	"<?xml version=\"1.0\"?><service><serviceType>" SERVICE_TYPE "</serviceType>" \
	"<serviceId>urn:example-org:serviceId:Thermometer</serviceId><SCPDURL>/scpd.xml</SCPDURL>" \
	"<controlURL>/control</controlURL><eventSubURL>/event</eventSubURL></service>"

static GUPnPContext *context;

static void on_temperature(GUPnPServiceProxy *proxy, const char *variable, GValue *value, gpointer next)
{
	(void)proxy, (void)variable;
	count_event(g_value_get_double(value), next);
}

static void on_lost(GUPnPServiceProxy *proxy, const GError *error, gpointer data)
{
	(void)proxy, (void)data;
	fail("subscription lost", error ? error->message : "");
}

static void subscribe(const char *base_url)
{
	xmlDoc *xml = xmlReadMemory(DESCRIPTION, strlen(DESCRIPTION), NULL, NULL, 0);
	GUPnPXMLDoc *document = gupnp_xml_doc_new(xml);
	GUri *url_base = g_uri_parse(base_url, G_URI_FLAGS_NONE, NULL);
	long *next = g_new(long, 1);
	GUPnPServiceProxy *proxy = g_object_new(
		GUPNP_TYPE_SERVICE_PROXY, "context", context, "location", base_url, "udn", "uuid:any",
		"service-type", SERVICE_TYPE, "url-base", url_base, "document", document,
		"element", xmlDocGetRootElement(xml), NULL);

	*next = -1;
	gupnp_service_proxy_add_notify(proxy, "Temperature", G_TYPE_DOUBLE, on_temperature, next);
	g_signal_connect(proxy, "subscription-lost", G_CALLBACK(on_lost), NULL);
	gupnp_service_proxy_set_subscribed(proxy, TRUE);
	g_uri_unref(url_base);
}

static void on_line(const char *line)
{
	const char *rest;
	char base_url[256];
	long count;

	if ((rest = argument_of(line, "subscribe")) && sscanf(rest, "%255s %ld", base_url, &count) == 2) {
		for (long i = 0; i < count; i++)
			subscribe(base_url);
		printf("{\"subscribed\":%ld", count);
		end_line();
	} else if (argument_of(line, "count")) {
		print_count();
	} else {
		fail("no such command", line);
	}
}

int main(int argc, char **argv)
{
	GError *error = NULL;

	if (argc != 3)
		return fail("usage", "receive_gupnp IP PORT");
	context = gupnp_context_new_full(NULL, g_inet_address_new_from_string(argv[1]), atoi(argv[2]),
					 GSSDP_UDA_VERSION_1_0, &error);
	if (!context)
		return fail("context", error->message);
	printf("{\"ready\":\"GUPnP " VERSION "\"");
	end_line();
	run_until_quit(on_line);
	return 0;
}
