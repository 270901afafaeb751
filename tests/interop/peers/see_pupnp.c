/* A libupnp control point that tells which devices it sees.
 *
 *   see_pupnp INTERFACE
 *
 * On start, one line: {"ready": true}. Then for each advertisement and each answer to its search
 *   {"sighting": "appeared", "udn": …, "locations": [LOCATION]}
 * and for each byebye {"sighting": "gone", "udn": …, "locations": []}. It ends with stdin.
 */
#include <pthread.h>
#include <stdlib.h>
#include <upnp/upnp.h>
#include <upnp/upnptools.h>

#include "blocking_lines.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* libupnp calls from its own threads. */
static int on_discovery(Upnp_EventType type, const void *event, void *cookie)
{
	int gone = type == UPNP_DISCOVERY_ADVERTISEMENT_BYEBYE;

	(void)cookie;
	if (!gone && type != UPNP_DISCOVERY_ADVERTISEMENT_ALIVE && type != UPNP_DISCOVERY_SEARCH_RESULT)
		return 0;
	pthread_mutex_lock(&lock);
	printf("{\"sighting\":\"%s\",\"udn\":", gone ? "gone" : "appeared");
	print_json_string(UpnpDiscovery_get_DeviceID_cstr(event));
	printf(",\"locations\":[");
	if (!gone)
		print_json_string(UpnpDiscovery_get_Location_cstr(event));
	putchar(']');
	end_line();
	pthread_mutex_unlock(&lock);
	return 0;
}

static void on_line(const char *line)
{
	fail("no such command", line);
}

int main(int argc, char **argv)
{
	UpnpClient_Handle control_point;
	int result;

	if (argc != 2)
		return fail("usage", "see_pupnp INTERFACE");
	result = UpnpInit2(argv[1], 0);
	if (result == UPNP_E_SUCCESS)
		result = UpnpRegisterClient(on_discovery, NULL, &control_point);
	if (result == UPNP_E_SUCCESS)
		result = UpnpSearchAsync(control_point, 1, "ssdp:all", NULL);
	if (result != UPNP_E_SUCCESS)
		return fail("start", UpnpGetErrorMessage(result));
	pthread_mutex_lock(&lock);
	printf("{\"ready\":true");
	end_line();
	pthread_mutex_unlock(&lock);
	run_until_quit(on_line);
	UpnpFinish();
	return 0;
}
