# What becomes of a model while applications are updated under it.
if(TARGET seer::dataset)
  add_executable(evaluate-retrain retrain_acted.cc retrain_main.cc retrain_network.cc
    retrain_run.cc retrain_served.cc)
  target_link_libraries(evaluate-retrain PRIVATE seer_evaluation_runs)
  seer_add_evaluation(evaluate-retrain)
endif()
