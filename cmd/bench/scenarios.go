package main

// Names of contenders.
const (
	floorName    = "floor"
	serviceName  = "service"
	tracedSuffix = ", traced"
	tracedName   = serviceName + tracedSuffix
)

// scenarios are all that can be measured.
func scenarios() []scenario {
	return []scenario{
		backlogScenario(), pacedScenario(), inFlightScenario(), tlsScenario(), millionScenario(), scaleScenario(), shareScenario(),
		deltasScenario(), idleScenario(), alwaysScenario(), clusterScenario(), growthScenario(), copiesScenario(), floodScenario(), lanesScenario(),
		tenantsScenario(),
	}
}
