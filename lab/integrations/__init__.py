"""Programs that use async-upnp-client as Home Assistant and Music Assistant do, with and without
propchange beneath, side by side at one device, under faults."""
