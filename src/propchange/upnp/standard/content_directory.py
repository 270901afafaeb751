"""ContentDirectory: the contents of a media server."""

from __future__ import annotations

from propchange.core.values.merging import CONTAINERS, format_container_update_ids
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.service import Service
from propchange.upnp.standard.shared import argument_type


class ContentDirectory(Service, type="urn:schemas-upnp-org:service:ContentDirectory:1"):
    """ContentDirectory:1, the contents of a media server. SystemUpdateID is evented at most once
    per 2 s, ContainerUpdateIDs at most once per 0.2 s. TransferIDs is evented at once (LC-11).

    Do not assign ContainerUpdateIDs: call :meth:`container_updated`.
    """

    search_capabilities = StateVariable("string", evented=False)
    sort_capabilities = StateVariable("string", evented=False)
    system_update_id = StateVariable("ui4", minimum_interval=2.0, name="SystemUpdateID")
    container_update_ids = StateVariable(
        "string", minimum_interval=0.2, merge=CONTAINERS, name="ContainerUpdateIDs"
    )
    transfer_ids = StateVariable("string", name="TransferIDs")

    a_arg_type_object_id = argument_type("ObjectID")
    a_arg_type_result = argument_type("Result")
    a_arg_type_search_criteria = argument_type("SearchCriteria")
    a_arg_type_browse_flag = argument_type("BrowseFlag", "BrowseMetadata BrowseDirectChildren")
    a_arg_type_filter = argument_type("Filter")
    a_arg_type_sort_criteria = argument_type("SortCriteria")
    a_arg_type_index = StateVariable("ui4", evented=False, name="A_ARG_TYPE_Index")
    a_arg_type_count = StateVariable("ui4", evented=False, name="A_ARG_TYPE_Count")
    a_arg_type_update_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_UpdateID")
    a_arg_type_transfer_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_TransferID")
    a_arg_type_transfer_status = argument_type(
        "TransferStatus", "COMPLETED ERROR IN_PROGRESS STOPPED"
    )
    a_arg_type_transfer_length = argument_type("TransferLength")
    a_arg_type_transfer_total = argument_type("TransferTotal")
    a_arg_type_tag_value_list = argument_type("TagValueList")
    a_arg_type_uri = StateVariable("uri", evented=False, name="A_ARG_TYPE_URI")

    def container_updated(self, container: str, update_id: int) -> None:
        """Event that the container with the object ID ``container`` has changed and now has the
        update ID ``update_id``. Calls within one period, or in one ``batch()``, are one event: a
        list with each container once (LC-12)."""
        self.container_update_ids = format_container_update_ids([(container, str(update_id))])
