"""Names of iExec's own contracts behind a hub, as its records have them."""

from __future__ import annotations

LIBRARY = "IexecLibOrders_v5"
#: The facets of the deployment on Arbitrum, beside those of the diamond pattern.
FACETS = (
    "IexecAccessorsABILegacyFacet",
    "IexecCategoryManagerFacet",
    "IexecConfigurationExtraFacet",
    "IexecConfigurationFacet",
    "IexecERC20Facet",
    "IexecEscrowTokenFacet",
    "IexecOrderManagementFacet",
    "IexecPoco1Facet",
    "IexecPoco2Facet",
    "IexecPocoAccessorsFacet",
    "IexecRelayFacet",
)
DIAMOND_FACETS = ("DiamondCutFacet", "DiamondLoupeFacet", "OwnershipFacet")
