"""ContentDirectory: the contents of a media server."""

# A declared action has no body.
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propchange.core.values.merging import CONTAINERS, format_container_update_ids
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.action_methods import action, argument
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

    @action(returns={"SearchCaps": search_capabilities}, declared="required")
    def get_search_capabilities(self) -> str:
        """The properties that a search can name, a comma-separated list."""

    @action(returns={"SortCaps": sort_capabilities}, declared="required")
    def get_sort_capabilities(self) -> str:
        """The properties that results can be sorted by, a comma-separated list."""

    @action(name="GetSystemUpdateID", returns={"Id": system_update_id}, declared="required")
    def get_system_update_id(self) -> int:
        """The number that changes with every change of the contents."""

    @action(
        arguments={
            "starting_index": argument(a_arg_type_index, name="StartingIndex"),
            "requested_count": argument(a_arg_type_count, name="RequestedCount"),
        },
        returns={
            "Result": a_arg_type_result,
            "NumberReturned": a_arg_type_count,
            "TotalMatches": a_arg_type_count,
            "UpdateID": a_arg_type_update_id,
        },
        declared="required",
    )
    def browse(
        self,
        object_id: str,
        browse_flag: str,
        filter: str,
        starting_index: int,
        requested_count: int,
        sort_criteria: str,
    ) -> Mapping[str, Any]:
        """An object, or the children of a container, in DIDL-Lite."""

    @action(
        arguments={
            "container_id": argument(a_arg_type_object_id, name="ContainerID"),
            "starting_index": argument(a_arg_type_index, name="StartingIndex"),
            "requested_count": argument(a_arg_type_count, name="RequestedCount"),
        },
        returns={
            "Result": a_arg_type_result,
            "NumberReturned": a_arg_type_count,
            "TotalMatches": a_arg_type_count,
            "UpdateID": a_arg_type_update_id,
        },
        declared="optional",
    )
    def search(
        self,
        container_id: str,
        search_criteria: str,
        filter: str,
        starting_index: int,
        requested_count: int,
        sort_criteria: str,
    ) -> Mapping[str, Any]:
        """The objects in a container that fit, in DIDL-Lite."""

    @action(
        arguments={
            "container_id": argument(a_arg_type_object_id, name="ContainerID"),
            "elements": a_arg_type_result,
        },
        returns={"ObjectID": a_arg_type_object_id, "Result": a_arg_type_result},
        declared="optional",
    )
    def create_object(self, container_id: str, elements: str) -> Mapping[str, Any]:
        """Make an object of DIDL-Lite in a container."""

    @action(declared="optional")
    def destroy_object(self, object_id: str) -> None:
        """Remove an object."""

    @action(
        arguments={
            "current_tag_value": a_arg_type_tag_value_list,
            "new_tag_value": a_arg_type_tag_value_list,
        },
        declared="optional",
    )
    def update_object(self, object_id: str, current_tag_value: str, new_tag_value: str) -> None:
        """Change properties of an object."""

    @action(
        arguments={
            "source_uri": argument(a_arg_type_uri, name="SourceURI"),
            "destination_uri": argument(a_arg_type_uri, name="DestinationURI"),
        },
        returns={"TransferID": a_arg_type_transfer_id},
        declared="optional",
    )
    def import_resource(self, source_uri: str, destination_uri: str) -> int:
        """Begin to fetch a resource from elsewhere."""

    @action(
        arguments={
            "source_uri": argument(a_arg_type_uri, name="SourceURI"),
            "destination_uri": argument(a_arg_type_uri, name="DestinationURI"),
        },
        returns={"TransferID": a_arg_type_transfer_id},
        declared="optional",
    )
    def export_resource(self, source_uri: str, destination_uri: str) -> int:
        """Begin to send a resource elsewhere."""

    @action(declared="optional")
    def stop_transfer_resource(self, transfer_id: int) -> None:
        """Stop a transfer."""

    @action(
        returns={
            "TransferStatus": a_arg_type_transfer_status,
            "TransferLength": a_arg_type_transfer_length,
            "TransferTotal": a_arg_type_transfer_total,
        },
        declared="optional",
    )
    def get_transfer_progress(self, transfer_id: int) -> Mapping[str, Any]:
        """How far a transfer is. The lengths are bytes, as text."""

    @action(
        arguments={"resource_uri": argument(a_arg_type_uri, name="ResourceURI")},
        declared="optional",
    )
    def delete_resource(self, resource_uri: str) -> None:
        """Remove a resource from all objects."""

    @action(
        arguments={"container_id": argument(a_arg_type_object_id, name="ContainerID")},
        returns={"NewID": a_arg_type_object_id},
        declared="optional",
    )
    def create_reference(self, container_id: str, object_id: str) -> str:
        """Make a reference to an object in a container."""
