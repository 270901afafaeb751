/* A GUPnP control point that tells each NOTIFY it gets, as GUPnP understood it.
 *
 *   sub_gupnp IP PORT
 *
 * On start, one line: {"ready": base URL}. Commands:
 *   subscribe BASE-URL EVENT-PATH [COUNT]   COUNT subscriptions (1); no discovery, no description
 *                                           {"subscribing": COUNT}
 *   quiet                                   count from now on, without a line per NOTIFY
 *   count                                   {"notifies": …, "lost": …, "resident_kib": …}
 *   unsubscribe                             all of them, {"unsubscribed": COUNT}
 *   quit
 *
 * Unasked, a line per NOTIFY: {"notify": n, "subscription": i, "changes": {"Variable": "text"}}
 * and, when GUPnP gives a subscription up: {"lost": i, "why": …}.
 */
#include <libgupnp/gupnp.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdlib.h>

#include "glib_lines.h"

static GUPnPContext *context;
static GPtrArray *proxies;
static long notifies, lost;
static gboolean quiet;

static void print_changes(const xmlDoc *propertyset)
{
	const char *comma = "";

	for (xmlNode *property = xmlDocGetRootElement(propertyset)->children; property; property = property->next) {
		if (property->type != XML_ELEMENT_NODE)
			continue;
		for (xmlNode *variable = property->children; variable; variable = variable->next) {
			xmlChar *text;

			if (variable->type != XML_ELEMENT_NODE)
				continue;
			text = xmlNodeGetContent(variable);
			printf("%s", comma);
			print_json_string((const char *)variable->name);
			putchar(':');
			print_json_string((const char *)text);
			comma = ",";
			xmlFree(text);
		}
	}
}

/* A raw notification is one per NOTIFY, with the whole document. */
static void on_notify(GUPnPServiceProxy *proxy, const char *variable, GValue *document, gpointer index)
{
	(void)proxy, (void)variable;
	notifies++;
	if (quiet)
		return;
	printf("{\"notify\":%ld,\"subscription\":%d,\"changes\":{", notifies, GPOINTER_TO_INT(index));
	print_changes(g_value_get_pointer(document));
	putchar('}');
	end_line();
}

static void on_lost(GUPnPServiceProxy *proxy, const GError *error, gpointer index)
{
	(void)proxy;
	lost++;
	printf("{\"lost\":%d,\"why\":", GPOINTER_TO_INT(index));
	print_json_string(error ? error->message : "");
	end_line();
}

static void add_subscription(const char *base_url, const char *event_path)
{
	char *description = g_markup_printf_escaped(
		"<?xml version=\"1.0\"?><service>"
		"<serviceType>urn:propchange-test:service:Any:1</serviceType>"
		"<serviceId>urn:propchange-test:serviceId:Any</serviceId>"
		"<SCPDURL>/none</SCPDURL><controlURL>/none</controlURL>"
		"<eventSubURL>%s</eventSubURL></service>", event_path);
	xmlDoc *xml = xmlReadMemory(description, strlen(description), NULL, NULL, 0);
	GUPnPXMLDoc *document = gupnp_xml_doc_new(xml);
	GUri *url_base = g_uri_parse(base_url, G_URI_FLAGS_NONE, NULL);
	gpointer index = GINT_TO_POINTER(proxies->len);
	GUPnPServiceProxy *proxy = g_object_new(
		GUPNP_TYPE_SERVICE_PROXY, "context", context, "location", base_url, "udn", "uuid:any",
		"service-type", "urn:propchange-test:service:Any:1", "url-base", url_base,
		"document", document, "element", xmlDocGetRootElement(xml), NULL);

	gupnp_service_proxy_add_raw_notify(proxy, on_notify, index, NULL);
	g_signal_connect(proxy, "subscription-lost", G_CALLBACK(on_lost), index);
	gupnp_service_proxy_set_subscribed(proxy, TRUE);
	g_ptr_array_add(proxies, proxy);
	g_uri_unref(url_base);
	g_free(description);
}

static void subscribe(const char *arguments)
{
	char **words = g_strsplit(arguments, " ", 3);
	long count = 1;

	if (g_strv_length(words) < 2) {
		fail("usage", "subscribe BASE-URL EVENT-PATH [COUNT]");
	} else {
		if (words[2])
			count = strtol(words[2], NULL, 10);
		for (long i = 0; i < count; i++)
			add_subscription(words[0], words[1]);
		printf("{\"subscribing\":%ld", count);
		end_line();
	}
	g_strfreev(words);
}

static void on_line(const char *line)
{
	const char *rest;

	if ((rest = argument_of(line, "subscribe"))) {
		subscribe(rest);
	} else if (argument_of(line, "quiet")) {
		quiet = TRUE;
		printf("{\"quiet\":true");
		end_line();
	} else if (argument_of(line, "count")) {
		printf("{\"notifies\":%ld,\"lost\":%ld,\"resident_kib\":%ld", notifies, lost, resident_kib());
		end_line();
	} else if (argument_of(line, "unsubscribe")) {
		for (guint i = 0; i < proxies->len; i++)
			gupnp_service_proxy_set_subscribed(g_ptr_array_index(proxies, i), FALSE);
		printf("{\"unsubscribed\":%u", proxies->len);
		end_line();
	} else {
		fail("no such command", line);
	}
}

int main(int argc, char **argv)
{
	GError *error = NULL;

	if (argc != 3)
		return fail("usage", "sub_gupnp IP PORT");
	proxies = g_ptr_array_new();
	context = gupnp_context_new_full(NULL, g_inet_address_new_from_string(argv[1]), atoi(argv[2]),
					 GSSDP_UDA_VERSION_1_0, &error);
	if (!context)
		return fail("context", error->message);
	printf("{\"ready\":\"http://%s:%d/\"", argv[1], gupnp_context_get_port(context));
	end_line();
	run_until_quit(on_line);
	return 0;
}
